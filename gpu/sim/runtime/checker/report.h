// The report of a launch, findings and counters, as JSON for findings.py.
#pragma once
#include <cstdarg>
#include <cstdio>
#include <string>

#include "launch.h"

namespace sim {
namespace {

void put(std::string& out, const char* format, ...) __attribute__((format(printf, 2, 3)));
void put(std::string& out, const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  out += text;
}

void put_text(std::string& out, const char* text) {
  out += '"';
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') out += '\\';
    if (static_cast<Byte>(*text) >= ' ') out += *text;
  }
  out += '"';
}

void put_index(std::string& out, const char* name, uint3 index) {
  put(out, "\"%s\": [%u, %u, %u], ", name, index.x, index.y, index.z);
}

// Innermost first: a place in the text as {file, line}, an address as a number, relative to the library.
void put_site(std::string& out, const char* name, uint32_t site) {
  put(out, "\"%s\": [", name);
  for (int depth = 0; site && depth < 16; depth++) {
    const Site& where = check.sites[site];
    if (depth) out += ", ";
    if (where.address) {
      put(out, "%zu", static_cast<size_t>(where.address - reinterpret_cast<uintptr_t>(check.launch->image->base)));
    } else {
      out += "{\"file\": ";
      put_text(out, where.place.file ? where.place.file : "");
      put(out, ", \"line\": %d}", where.place.line);
    }
    site = where.caller;
  }
  out += "]";
}

void put_finding(std::string& out, const Raw& raw) {
  put(out, "{\"kind\": \"%s\", \"space\": \"%s\", \"access\": \"%s\", ", raw.kind,
      space_names[static_cast<int>(raw.space)], kind_names[raw.access]);
  put_index(out, "thread", raw.thread);
  put_index(out, "block", raw.block);
  put(out, "\"argument\": %d, \"offset\": %lld, \"size\": %zu, \"bytes\": %zu, ", raw.argument,
      static_cast<long long>(raw.offset), raw.size, raw.bytes);
  if (raw.has_other) {
    put_index(out, "other_thread", raw.other_thread);
    put_index(out, "other_block", raw.other_block);
  }
  if (raw.other_site) {
    put(out, "\"other_access\": \"%s\", ", kind_names[raw.other_access]);
    put_site(out, "other_site", raw.other_site);
    out += ", ";
  }
  out += "\"words\": ";
  put_text(out, raw.words.c_str());
  out += ", ";
  put_site(out, "site", raw.site);
  out += "}";
}

}  // namespace
}  // namespace sim

// Check mode: every load and store of a kernel is looked at before it happens.
//
// The kernel is compiled so that the compiler calls a function before each access (checker/callbacks.h), and the runtime
// tells what else threads do (checker/hooks.h). Both lead to look() in checker/accesses.h: which memory is it, may the
// thread use it (memory.h), has anybody else used it (shadow.h, races.h)? What is found is kept as numbers with the chain
// of calls that led there (findings.h, calls.h), and handed out as JSON at the end (report.h).
//
// The checker is one unit for the compiler, in files of one concept each: look() runs before each access, and must be
// inlined as a whole.
#include "checker/callbacks.h"
#include "checker/hooks.h"

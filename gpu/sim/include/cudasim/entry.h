// How the runtime calls a kernel: SIM_ENTRY(2, (softmax<32>)) defines sim_entry_2, which takes its arguments from an
// array of pointers by the kernel's own signature, and sim_parameters_2, which tells Python what that signature is.
#pragma once

namespace sim {

struct Parameter {
  int bytes;
  char kind;     // 'r': pointer to const, 'w': other pointer, 'v': value
  char element;  // what a pointer points to: 'f' for float and double, 'i' for whole numbers, 0 for anything else
  int element_bytes;
};

template <class T>
struct ElementOf {
  static constexpr char kind = 0;
  static constexpr int bytes = 0;
};
#define SIM_ELEMENT(type, letter)              \
  template <>                                  \
  struct ElementOf<type> {                     \
    static constexpr char kind = letter;       \
    static constexpr int bytes = sizeof(type); \
  };
SIM_ELEMENT(float, 'f')
SIM_ELEMENT(double, 'f')
SIM_ELEMENT(short, 'i')
SIM_ELEMENT(unsigned short, 'i')
SIM_ELEMENT(int, 'i')
SIM_ELEMENT(unsigned, 'i')
SIM_ELEMENT(long, 'i')
SIM_ELEMENT(unsigned long, 'i')
SIM_ELEMENT(long long, 'i')
SIM_ELEMENT(unsigned long long, 'i')
#undef SIM_ELEMENT
template <class T>
struct ElementOf<volatile T> : ElementOf<T> {};
template <class T, char kind>
struct PointerTo { static constexpr Parameter value{int(sizeof(T*)), kind, ElementOf<T>::kind, ElementOf<T>::bytes}; };

template <class T>
struct ParameterOf { static constexpr Parameter value{int(sizeof(T)), 'v', 0, 0}; };
template <class T>
struct ParameterOf<T*> : PointerTo<T, 'w'> {};
template <class T>
struct ParameterOf<const T*> : PointerTo<T, 'r'> {};

template <class T>
SIM_INLINE T argument(void** parameters, int i) {
  T value;
  __builtin_memcpy(&value, parameters[i], sizeof value);  // as many bytes as the kernel declares, whatever was given
  return value;
}

template <int... I>
struct Numbers {};
template <int N, int... I>
struct UpTo : UpTo<N - 1, N - 1, I...> {};
template <int... I>
struct UpTo<0, I...> { using type = Numbers<I...>; };

template <auto kernel, class Signature = decltype(kernel)>
struct Entry;
template <auto kernel, class... T>
struct Entry<kernel, void (*)(T...)> {
  static constexpr Parameter parameters[] = {ParameterOf<T>::value..., {0, 0, 0, 0}};

  // Runs threads of one warp for as long as the runtime has fresh ones (sim_next_thread).
  template <int... I>
  SIM_INLINE static void run(void** given, Numbers<I...>) { repeat(argument<T>(given, I)...); }
  SIM_INLINE static void repeat(T... arguments) {
    do kernel(arguments...);
    while (sim_next_thread());
  }
  SIM_INLINE static void run(void** given) { run(given, typename UpTo<sizeof...(T)>::type()); }
};

// Allocates this library's thread-local memory, in which __shared__ arrays lie, before a kernel computes. It is allocated
// when it is first touched, and there older versions of glibc (its bug 31372) lose vector registers, which
// -mtls-dialect=gnu2 relies on: the first thread of the first block would go on with other numbers than it had.
__attribute__((noinline, no_sanitize("thread"))) static void touch_thread_locals() {
  static __thread char first;
  asm volatile("" : : "r"(&first) : "memory");
}

}  // namespace sim

#define SIM_ENTRY(number, kernel)                                                                       \
  extern "C" __attribute__((no_sanitize("thread"))) void sim_entry_##number(void** given) {             \
    sim::touch_thread_locals();                                                                         \
    sim::Entry<&(kernel)>::run(given);                                                                  \
  }                                                                                                     \
  extern "C" const sim::Parameter* sim_parameters_##number() { return sim::Entry<&(kernel)>::parameters; }

#if defined(SIM_CHECK) && defined(__ELF__)
// Symbols of the linker: the begin and the end of this library.
extern "C" {
extern __attribute__((visibility("hidden"))) unsigned char __ehdr_start[], _end[];
inline __attribute__((used, no_sanitize("thread"))) const sim::Image* sim_image_of_this_library() {
  static const sim::Image image{__ehdr_start, _end, nullptr, 0};  // Python knows the variables
  return &image;
}
}
#define SIM_IMAGE extern "C" const sim::Image* sim_image() { return sim_image_of_this_library(); }
#else
#define SIM_IMAGE
#endif

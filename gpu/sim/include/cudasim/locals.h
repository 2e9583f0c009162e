// Local variables that begin without a value, in check mode: watch.py has `sim::begins(x)` called behind a declaration.
#pragma once
#ifdef SIM_CHECK

namespace sim {

template <class T>
struct Element { using type = T; };
template <class T, size_t n>
struct Element<T[n]> : Element<T> {};

// A type with a constructor gives itself a value. A member of single bits is read when its neighbour is written: where
// the text has any (watch.py), structs are not watched.
#ifdef SIM_BIT_FIELDS
constexpr bool watches_structs = false;
#else
constexpr bool watches_structs = true;
#endif

template <class T>
SIM_INLINE void begins(T& variable) {
  using One = typename Element<T>::type;
  constexpr bool is_struct = __is_class(One) || __is_union(One);
  if constexpr (__is_trivially_constructible(One) && !__is_empty(One) && (watches_structs || !is_struct))
    chk_local((void*)&variable, sizeof variable);
}
SIM_INLINE void begins(...) {}  // an array whose size is not known before it runs

}  // namespace sim

#endif

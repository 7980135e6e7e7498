/* What the parts of the portable object (ext/tools/portable.mk) ask of libraries that it does
 * without: a C library after glibc 2.28, and Fortran's run time. */
#include <string.h>

/* Newer versions of these came with glibc 2.29; the older entries give the same numbers, and set
 * errno besides. The linker's --wrap leads here. */
#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#else
#define OLDEST "GLIBC_2.17"
#endif
#define OLD(name) \
    double old_##name(double x); \
    double __wrap_##name(double x); \
    __asm__(".symver old_" #name "," #name "@" OLDEST); \
    double __wrap_##name(double x) { return old_##name(x); }

OLD(exp)
OLD(exp2)
OLD(log)
OLD(log2)

double old_pow(double x, double y);
double __wrap_pow(double x, double y);
__asm__(".symver old_pow,pow@" OLDEST);
double __wrap_pow(double x, double y) { return old_pow(x, y); }

/* "The process has one thread", since 2.32: libstdc++ then counts references without a lock. */
char __libc_single_threaded = 0;

/* Fortran's a // b, filled up with blanks: LAPACK joins the letters of two options with it. */
void _gfortran_concat_string(
    size_t to_len, char *to, size_t a_len, const char *a, size_t b_len, const char *b);
void _gfortran_concat_string(
    size_t to_len, char *to, size_t a_len, const char *a, size_t b_len, const char *b) {
    size_t from_a = a_len < to_len ? a_len : to_len;
    size_t from_b = b_len < to_len - from_a ? b_len : to_len - from_a;
    memcpy(to, a, from_a);
    memcpy(to + from_a, b, from_b);
    memset(to + from_a + from_b, ' ', to_len - from_a - from_b);
}

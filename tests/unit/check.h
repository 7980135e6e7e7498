/* A small test harness: TEST(name_that_is_a_claim) { ... CHECK(...); }. Cases register themselves;
 * a case that leaves allocations behind fails. */
#ifndef REC_CHECK_H
#define REC_CHECK_H

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef void (*TestFunction)(void);
void check_register(const char *file, const char *name, TestFunction function);
void check_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define TEST(name) \
    static void name(void); \
    __attribute__((constructor)) static void register_##name(void) { \
        check_register(__FILE__, #name, name); \
    } \
    static void name(void)

#define CHECK(condition) \
    do { \
        if (!(condition)) check_failed(__FILE__, __LINE__, "%s", #condition); \
    } while (0)

#define CHECK_NEAR(actual, expected, relative) \
    do { \
        double check_a = (actual), check_e = (expected); \
        if (!(fabs(check_a - check_e) <= (relative)*fmax(fabs(check_e), 1e-300))) \
            check_failed( \
                __FILE__, __LINE__, "%s is %.17g, expected %.17g", #actual, check_a, check_e); \
    } while (0)

#define CHECK_TEXT(actual, expected) \
    do { \
        const char *check_t = (actual); \
        if (!check_t || strcmp(check_t, (expected)) != 0) \
            check_failed(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #actual, \
                check_t ? check_t : "NULL", (expected)); \
    } while (0)

#endif

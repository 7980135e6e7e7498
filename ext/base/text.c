#define _GNU_SOURCE
#include "text.h"

#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* The C locale as an object: the C library's own, which is not allocated. */
static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

int text_vformat(char *out, size_t size, const char *format, va_list args) {
    pthread_once(&once, make_locale);
    /* of this thread alone; (locale_t)0, if there is none, changes nothing */
    locale_t host = uselocale(c_locale);
    int len = vsnprintf(out, size, format, args);
    uselocale(host);
    return len;
}

int text_format(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = text_vformat(out, size, format, args);
    va_end(args);
    return len;
}

double text_to_double(const char *text, char **end) {
    pthread_once(&once, make_locale);
    return c_locale ? strtod_l(text, end, c_locale) : strtod(text, end);
}

/* Bytes of the UTF-8 sequence at text, 0 when it is malformed or cut off. */
static size_t sequence_length(const unsigned char *text) {
    size_t len = text[0] < 0x80             ? 1
        : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
        : text[0] >= 0xe0 && text[0] < 0xf0 ? 3
        : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
                                            : 0;
    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    return len;
}

void text_keep_utf8(char *text) {
    unsigned char *at = (unsigned char *)text;
    while (*at) {
        size_t len = sequence_length(at);
        if (len == 0) *at = '?';
        at += len ? len : 1;
    }
}

/* Numbers as text and back, and the letters of ASCII: the same bytes in every locale.
 *
 * A host may have called setlocale(LC_ALL, ""): then printf writes 1,5 in Germany, strtod stops at
 * the point of 1.5, and tolower('I') is no i in Turkey. What is stored, parsed or shown must not
 * follow it, so that this is the only place that formats or parses a number with a fraction, or
 * asks what a letter is (lint holds it). */
#ifndef REC_TEXT_H
#define REC_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* printf's forms into size bytes, NUL included; what does not fit is cut. Returns the length that
 * it would have had. */
int text_format(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int text_vformat(char *out, size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* What is no UTF-8 becomes '?': a text may quote stored bytes, or end within a character. */
void text_keep_utf8(char *text);

/* strtod: the number at text, and where it ends (text itself: there is none). */
double text_to_double(const char *text, char **end);

static inline int ascii_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static inline int ascii_is_digit(char c) { return c >= '0' && c <= '9'; }

static inline int ascii_is_alphanumeric(char c) {
    return ascii_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

#endif

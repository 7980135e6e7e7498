#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

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

/* A text may quote stored bytes, or end within a character: what is no UTF-8 becomes '?'. */
static void keep_utf8(char *text) {
    unsigned char *at = (unsigned char *)text;
    while (*at) {
        size_t len = sequence_length(at);
        if (len == 0) *at = '?';
        at += len ? len : 1;
    }
}

Status fail(Err *err, Status status, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        text_vformat(err->text, sizeof err->text, format, args);
        va_end(args);
        keep_utf8(err->text);
        err->host_code = 0;
    }
    return status;
}

Status fail_nomem(Err *err, const char *what) {
    return fail(err, ST_NOMEM, "no memory for %s", what);
}

void err_prefix(Err *err, const char *format, ...) {
    char rest[sizeof err->text];
    char prefix[200];
    va_list args;

    va_start(args, format);
    text_vformat(prefix, sizeof prefix, format, args);
    va_end(args);
    memcpy(rest, err->text, sizeof rest);
    text_format(err->text, sizeof err->text, "%.190s: %.400s", prefix, rest);
    keep_utf8(err->text);
}

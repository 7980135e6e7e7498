#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

Status fail(Err *err, Status status, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        text_vformat(err->text, sizeof err->text, format, args);
        va_end(args);
        text_keep_utf8(err->text); /* it may quote stored bytes */
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
    text_keep_utf8(err->text);
}

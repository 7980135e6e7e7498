/* What jansson does not say plainly: NULL for want of memory, and not because the text is wrong.
 * Where its very first allocation fails it leaves no code and no text. */
#ifndef REC_JSON_H
#define REC_JSON_H

#include <jansson.h>
#include <string.h>

static inline int json_lacks_memory(const json_t *root, const json_error_t *error) {
    return !root && (error->text[0] == 0 || json_error_code(error) == json_error_out_of_memory);
}

/* A text without a NUL in it, as a name or a date is one; NULL: it is none. */
static inline const char *json_text(const json_t *value) {
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

#endif

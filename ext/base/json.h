/* What jansson does not say plainly: NULL for want of memory, and not because the text is wrong.
 * Where its very first allocation fails it leaves no code and no text. */
#ifndef REC_JSON_H
#define REC_JSON_H

#include <jansson.h>

static inline int json_lacks_memory(const json_t *root, const json_error_t *error) {
    return !root && (error->text[0] == 0 || json_error_code(error) == json_error_out_of_memory);
}

#endif

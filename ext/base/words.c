#include "words.h"

#include "text.h"

static int is_word(char c) { return ascii_is_alphanumeric(c) || (unsigned char)c >= 0x80; }

size_t word_next(const char **text, const char *end, char *word, size_t room) {
    const char *at = *text;
    size_t len = 0;
    while (at < end && !is_word(*at)) at++;
    for (; at < end && is_word(*at); at++)
        if (len < room) word[len++] = ascii_lower(*at);
    *text = at;
    return len;
}

/* The words of a text: runs of ASCII's letters and digits, in lower case, and of all that is not
 * ASCII, as it is. */
#ifndef REC_WORDS_H
#define REC_WORDS_H

#include <stddef.h>

/* The next word of *text, which ends at end, into word; its length, 0 where there is none. *text
 * moves behind it. A longer word than room bytes is cut. */
size_t word_next(const char **text, const char *end, char *word, size_t room);

#endif

/* A text as the tokens that a BERT model reads (Devlin et al. 2019; WordPiece: Schuster and
 * Nakajima 2012, Wu et al. 2016).
 *
 * Control characters and what is no UTF-8 go; a text falls into words at white space, and every
 * punctuation mark and every Han character is a word of its own; where the model wants it, words
 * are in lower case and without accents (NFD, then without the category Mn). A word becomes the
 * longest piece of the vocabulary that it begins with, then the longest "##" piece that the rest
 * begins with, and so on; where that fails, and past 100 characters, the word is [UNK].
 * The characters' categories and forms are those of utf8proc. */
#ifndef REC_WORDPIECE_H
#define REC_WORDPIECE_H

#include <stddef.h>
#include <stdint.h>

#include "../base/keymap.h"
#include "../base/status.h"

typedef struct WordPiece {
    KeyMap *pieces;              /* ids are the tokens */
    int32_t unknown, begin, end; /* [UNK], [CLS], [SEP] */
    int is_lower;                /* in lower case and without accents */
} WordPiece;

/* vocabulary: a piece a line, the first is token 0. Lines that are there twice, and a vocabulary
 * without [UNK], [CLS] or [SEP], are ST_BADARG. */
Status wordpiece_init(WordPiece *out, const char *vocabulary, size_t len, int is_lower, Err *err);
void wordpiece_clear(WordPiece *pieces);

/* The tokens of a text of len bytes into token (room of them, 2 at least): [CLS], the text's as far
 * as they go, [SEP]. Returns how many. O(len). What spells a mark, such as "[SEP]", is words. */
size_t wordpiece_tokens(
    const WordPiece *pieces, const char *text, size_t len, int32_t *token, size_t room);

#endif

#include "wordpiece.h"

#include <string.h>
#include <utf8proc.h>

/* A longer word is unknown. */
enum { MAX_CHARACTERS = 100, MAX_BYTES = 4 * MAX_CHARACTERS };

/* ---- the vocabulary ---- */

static Status add_piece(WordPiece *out, const char *line, size_t len, int32_t place, Err *err) {
    int32_t id;
    if (len && line[len - 1] == '\r') len--;
    TRY(keymap_add(out->pieces, (Key){.text = line, .len = len}, &id, err));
    return id == place
        ? ST_OK
        : fail(err, ST_BADARG, "lines %d and %d of the vocabulary are the same", id + 1, place + 1);
}

static Status find_mark(const WordPiece *pieces, const char *mark, int32_t *out, Err *err) {
    *out = keymap_find(pieces->pieces, (Key){.text = mark, .len = strlen(mark)});
    return *out >= 0 ? ST_OK : fail(err, ST_BADARG, "the vocabulary has no %s", mark);
}

static Status read_vocabulary(WordPiece *out, const char *text, size_t len, Err *err) {
    int32_t place = 0;
    for (size_t at = 0; at < len; place++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line = end ? (size_t)(end - text) - at : len - at;
        TRY(add_piece(out, text + at, line, place, err));
        at += line + 1;
    }
    TRY(find_mark(out, "[UNK]", &out->unknown, err));
    TRY(find_mark(out, "[CLS]", &out->begin, err));
    return find_mark(out, "[SEP]", &out->end, err);
}

Status wordpiece_init(WordPiece *out, const char *vocabulary, size_t len, int is_lower, Err *err) {
    *out = (WordPiece){.pieces = keymap_new(), .is_lower = is_lower};
    Status status = out->pieces ? read_vocabulary(out, vocabulary, len, err)
                                : fail_nomem(err, "the vocabulary");
    if (status != ST_OK) wordpiece_clear(out);
    return status;
}

void wordpiece_clear(WordPiece *pieces) {
    keymap_free(pieces->pieces);
    *pieces = (WordPiece){0};
}

/* ---- a word ---- */

typedef struct Tokens {
    const WordPiece *pieces;
    int32_t *token;
    size_t n, room;
    /* the present word: two bytes for a "##" in front of it; too long: more characters than there
     * is room for */
    char word[2 + MAX_BYTES];
    size_t len, characters;
} Tokens;

static void add_token(Tokens *tokens, int32_t token) {
    if (tokens->n < tokens->room) tokens->token[tokens->n++] = token;
}

/* The longest piece that [at, len) of the word begins with, -1 for none; *end is where it ends. The
 * two bytes in front of a rest have been read and may hold its "##". */
static int32_t longest_piece(Tokens *tokens, size_t at, size_t *end) {
    char *rest = tokens->word + 2 + at;
    if (at) memcpy(rest - 2, "##", 2);
    for (*end = tokens->len; *end > at; (*end)--) {
        if (*end < tokens->len && (tokens->word[2 + *end] & 0xc0) == 0x80) continue;
        Key key = {.text = at ? rest - 2 : rest, .len = *end - at + (at ? 2 : 0)};
        int32_t token = keymap_find(tokens->pieces->pieces, key);
        if (token >= 0) return token;
    }
    return -1;
}

static void end_word(Tokens *tokens) {
    size_t before = tokens->n, end;
    int32_t token = 0;
    if (!tokens->characters) return;
    if (tokens->characters > MAX_CHARACTERS) token = -1;
    for (size_t at = 0; token >= 0 && at < tokens->len; at = end) {
        token = longest_piece(tokens, at, &end);
        add_token(tokens, token);
    }
    if (token < 0) {
        tokens->n = before;
        add_token(tokens, tokens->pieces->unknown);
    }
    tokens->len = tokens->characters = 0;
}

static void add_character(Tokens *tokens, utf8proc_int32_t character) {
    if (++tokens->characters <= MAX_CHARACTERS)
        tokens->len += (size_t)utf8proc_encode_char(
            character, (utf8proc_uint8_t *)tokens->word + 2 + tokens->len);
}

/* ---- a text ---- */

static int is_within(utf8proc_int32_t c, utf8proc_int32_t least, utf8proc_int32_t most) {
    return c >= least && c <= most;
}

/* The blocks of Han characters, of Unicode up to 8. */
static int is_han(utf8proc_int32_t c) {
    return is_within(c, 0x4E00, 0x9FFF) || is_within(c, 0x3400, 0x4DBF) ||
        is_within(c, 0x20000, 0x2A6DF) || is_within(c, 0x2A700, 0x2B73F) ||
        is_within(c, 0x2B740, 0x2B81F) || is_within(c, 0x2B820, 0x2CEAF) ||
        is_within(c, 0xF900, 0xFAFF) || is_within(c, 0x2F800, 0x2FA1F);
}

/* Symbols of ASCII such as $ count too. */
static int is_punctuation(utf8proc_int32_t c, utf8proc_category_t category) {
    return is_within(c, 33, 47) || is_within(c, 58, 64) || is_within(c, 91, 96) ||
        is_within(c, 123, 126) ||
        is_within((int)category, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
}

static int is_space(utf8proc_int32_t c, utf8proc_category_t category) {
    return c == '\t' || c == '\n' || c == '\r' ||
        is_within((int)category, UTF8PROC_CATEGORY_ZS, UTF8PROC_CATEGORY_ZP);
}

/* Control, format, surrogate, private and unassigned characters, and the mark of damage. */
static int is_nothing(utf8proc_int32_t c, utf8proc_category_t category) {
    return c == 0xFFFD || category == UTF8PROC_CATEGORY_CN ||
        is_within((int)category, UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO);
}

/* A character of a word, or one that ends it. */
static void take_character(Tokens *tokens, utf8proc_int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    int is_alone = is_punctuation(c, category);
    if (is_space(c, category) || is_alone) end_word(tokens);
    if (is_space(c, category)) return;
    add_character(tokens, c);
    if (is_alone) end_word(tokens);
}

static void take_lowered(Tokens *tokens, utf8proc_int32_t c) {
    enum { MOST = 32 }; /* a character has 18 at most */
    utf8proc_int32_t part[MOST];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, part, MOST, UTF8PROC_DECOMPOSE, &boundary);
    for (utf8proc_ssize_t i = 0; i < n && i < MOST; i++)
        if (utf8proc_category(part[i]) != UTF8PROC_CATEGORY_MN)
            take_character(tokens, utf8proc_tolower(part[i]));
}

static void take(Tokens *tokens, utf8proc_int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    int is_alone = is_han(c);
    if (is_space(c, category)) {
        end_word(tokens);
        return;
    }
    if (is_nothing(c, category)) return;
    if (is_alone) end_word(tokens);
    if (tokens->pieces->is_lower) take_lowered(tokens, c);
    else take_character(tokens, c);
    if (is_alone) end_word(tokens);
}

size_t wordpiece_tokens(
    const WordPiece *pieces, const char *text, size_t len, int32_t *token, size_t room) {
    Tokens tokens = {.pieces = pieces, .token = token, .room = room - 1};
    add_token(&tokens, pieces->begin);
    for (size_t at = 0; at < len && tokens.n < tokens.room;) {
        utf8proc_int32_t c;
        size_t left = len - at < 4 ? len - at : 4; /* its lengths are signed */
        utf8proc_ssize_t used = utf8proc_iterate(
            (const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)left, &c);
        if (used > 0) take(&tokens, c);
        at += used > 0 ? (size_t)used : 1;
    }
    end_word(&tokens);
    tokens.room = room;
    add_token(&tokens, pieces->end);
    return tokens.n;
}

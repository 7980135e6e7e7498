/* A text encoder from the files that its makers publish: those of a sentence-transformers folder.
 *
 *     config.json                 model_type bert, hidden_act gelu, ...
 *     vocab.txt                   a piece a line
 *     model.safetensors           the tensors, as float32, float16 or bfloat16
 *     tokenizer_config.json       do_lower_case (true without the file)
 *     sentence_bert_config.json   max_seq_length (the model's places without the file)
 *     1_Pooling/config.json       mean or cls (mean without the file)
 *     modules.json                nothing but Transformer, Pooling, Normalize */
#ifndef REC_ENCODER_FILES_H
#define REC_ENCODER_FILES_H

#include "text_encoder.h"

typedef struct EncoderWish {
    PackedKind kind;
    size_t length; /* the most tokens of a text; 0: the model's own */
} EncoderWish;

/* The stored form (text_encoder_read) of the encoder of a folder, and its digest. Memory: the file
 * and the weights; then the weights twice. */
Status encoder_from_folder(
    const char *folder, const EncoderWish *wish, Bytes *out, char sha256[SHA256_TEXT], Err *err);

#endif

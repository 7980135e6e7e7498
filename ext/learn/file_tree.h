/* A model file as it is read: trees whose nodes are linked by numbers, names, classes. */
#ifndef REC_FILE_TREE_H
#define REC_FILE_TREE_H

#include <jansson.h>

#include "linear_state.h"
#include "trees.h"

/* What a file says, of columns 0 .. n_names - 1: trees, or a linear model. */
typedef struct ModelFile {
    Trees *trees;
    LinearState *linear;
    char **name; /* n_names; NULL: the file has none */
    int32_t n_names;
    int32_t n_classes; /* 0: numbers or ranking */
    int is_ranking;
    int has_probabilities; /* the scores are them, as a forest's */
    json_t *classes;       /* an array of its labels; NULL: 0, 1, .. */
} ModelFile;
void model_file_clear(ModelFile *file);
/* The names "f0", "f1", .. */
Status model_file_number_names(ModelFile *file, int32_t n, Err *err);

/* Columns that a predictor may have. */
enum { MODEL_FILE_COLUMNS = 32767 };

/* Node links of one tree as all have them: child >= 0 is a split, else a leaf ~child. */
typedef struct FileTree {
    int32_t n_splits;
    int32_t width; /* of the trees */
    int32_t *column, *left, *right;
    float *threshold;      /* left: x <= threshold */
    uint8_t *missing_left; /* where NaN goes */
    double *leaf;          /* (n_splits + 1) x width */
    double *split_cover, *leaf_cover, *gain;
} FileTree;
void file_tree_clear(FileTree *tree);
Status file_tree_init(FileTree *tree, int32_t n_splits, int32_t width, Err *err);
/* Append it, nodes from the root down. Links that are no tree are ST_BADARG. */
Status file_tree_append(Trees *trees, const FileTree *tree, int32_t n_columns, Err *err);
/* The largest float that is at most x: for floats the same split. */
float float_at_most(double x);

#endif

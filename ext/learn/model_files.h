/* What other programs have trained, as a predictor that looks at numbers by the names of the file:
 *
 *     LightGBM's text   Booster.save_model
 *     XGBoost's JSON    Booster.save_model to .json
 *     ONNX              whose one learner is a TreeEnsembleRegressor, TreeEnsembleClassifier,
 *                       LinearRegressor or LinearClassifier, over the numbers as they come in
 *
 * Categorical splits are refused. */
#ifndef REC_MODEL_FILES_H
#define REC_MODEL_FILES_H

#include "file_tree.h"
#include "predictor.h"

typedef struct ModelFileOptions {
    char columns[8000]; /* JSON array of names, instead of the file's; "": those */
    char classes[4000]; /* JSON array of labels, in the file's order; "": its own, or 0, 1, .. */
} ModelFileOptions;
extern const OptSpec model_file_options[];

Status model_file_read(
    Predictor **out, const char *data, size_t len, const ModelFileOptions *options, Err *err);

/* The readers. */
Status lightgbm_read(ModelFile *out, const char *text, size_t len, Err *err);
Status xgboost_read(ModelFile *out, const char *text, size_t len, Err *err);
Status onnx_read(ModelFile *out, const char *data, size_t len, Err *err);

#endif

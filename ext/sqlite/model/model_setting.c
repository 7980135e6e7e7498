/* The options of a training, and the setting that they make of a model's definition. */
#include "model_setting.h"

#include "../../base/options.h"

Status train_read_options(
    ModelDefinition *definition, TrainOptions *train, const char *options, Err *err) {
    Bytes names = {0};
    char name[64];
    TRY(train_options_text(options, "algorithm", name, sizeof name, err));
    const Algorithm *algorithm = algorithm_find(name);
    if (algorithm && algorithm != definition->algorithm) {
        definition->algorithm = algorithm;
        options_default(algorithm->options, &definition->params);
    }
    for (size_t i = 0; algorithm_registry[i]; i++)
        bytes_format(&names, "%s%s", i ? "|" : "", algorithm_registry[i]->name);
    bytes_append(&names, "", 1);
    if (names.failed) {
        bytes_clear(&names);
        return fail_nomem(err, "the options");
    }
    OptTarget others[] = {{definition->algorithm->options, &definition->params},
        {model_common_options, &definition->common}};
    Status status = train_options_read(train, (const char *)names.data, others, 2, options, err);
    bytes_clear(&names);
    return status == ST_OK && definition->algorithm->check
        ? definition->algorithm->check(&definition->params, err)
        : status;
}

Status train_setting(
    const ModelDefinition *definition, const char *options, Setting *out, Err *err) {
    ModelDefinition d = *definition; /* options change a copy; the texts stay the definition's */
    TrainOptions train;
    options_default(train_options, &train);
    if (options) TRY(train_read_options(&d, &train, options, err));
    *out = (Setting){d.algorithm, d.common, d.params};
    return ST_OK;
}

/* Reading the items table, where the algorithm wants it. */
#ifndef REC_MODEL_ITEMS_H
#define REC_MODEL_ITEMS_H

#include "model_definition.h"

/* Before the events: every item of the catalogue. After dataset_finish: their texts and vectors. */
Status items_list(const ModelDefinition *definition, Dataset *data, Err *err);
Status items_read(const ModelDefinition *definition, Dataset *data, Task *task, Err *err);

/* Every item of the catalogue, whatever the algorithm: which items there are is then public, and
 * events of others are left out. ST_BADARG without items=. */
Status items_list_alone(const ModelDefinition *definition, Dataset *data, Err *err);

#endif

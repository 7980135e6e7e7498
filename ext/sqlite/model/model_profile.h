/* What a model was trained on, and what has come since, as profiles (eval/profile.h). */
#ifndef REC_MODEL_PROFILE_H
#define REC_MODEL_PROFILE_H

#include "../../eval/profile.h"
#include "model_events.h"

/* Of all events of a training, before dataset_finish. */
Status profile_training(
    Profile *out, const ModelDefinition *definition, const Dataset *data, Err *err);
/* Lists of those who came on the last day are added, and model->trained_on is written. */
Status profile_trained(Profile *profile, Model *model, const Dataset *data, Err *err);

/* What has come since a profile's newest event, until now, and the lists of those who came on the
 * last whole day. Two scans of the events. */
Status profile_since(Profile *out, const Model *model, const Profile *reference, double now,
    EventsReader *reader, Err *err);

#endif

/* Clients: what a key's record allows. */
#include "sluice/core/client.h"

#include "sluice/core/model.h"

static const struct sl_slice class_names[SL_CLASS_COUNT] = {
    [SL_CLASS_INTERACTIVE] = SL_LIT("interactive"),
    [SL_CLASS_NORMAL] = SL_LIT("normal"),
    [SL_CLASS_BATCH] = SL_LIT("batch"),
};

enum sl_class sl_class_named(struct sl_slice name) {
    enum sl_class c = SL_CLASS_INTERACTIVE;
    while (c < SL_CLASS_COUNT && !sl_slice_eq(name, class_names[c]))
        c++;
    return c;
}

struct sl_slice sl_class_name(enum sl_class priority) {
    return priority < SL_CLASS_COUNT ? class_names[priority] : SL_EMPTY;
}

struct sl_client *sl_client_everybody(void) {
    /* One reference is the program's own, so that the count never reaches 0. */
    static struct sl_client everybody = {
        .refs = 1, .priority = SL_CLASS_INTERACTIVE, .unlimited = true};
    return &everybody;
}

bool sl_client_allows_model(const struct sl_client *client, struct sl_slice model) {
    if (client->unlimited || client->model_count == 0)
        return true;
    for (size_t i = 0; i < client->model_count; i++)
        if (sl_model_matches(client->models[i], model))
            return true;
    return false;
}

/* config.h - the bounds of a weir_config, for those who start one. */
#ifndef WEIR_NET_CONFIG_H
#define WEIR_NET_CONFIG_H

#include <weir/runtime.h>

/* Whether every field is within its bounds.  0, or -EINVAL with one line in `why`. */
int weir_config_check(const struct weir_config *config, char *why, size_t why_size);

#endif

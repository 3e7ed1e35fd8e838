/* task.h - what tasks at home and tasks anywhere have in common. */
#ifndef WEIR_SCHED_TASK_H
#define WEIR_SCHED_TASK_H

#include <weir/task.h>
#include "sched/shard.h"

/* In the fiber of the task: its result. */
int64_t weir_task_run(struct weir_task *task);

/* At home.  The task may be gone afterwards. */
void weir_task_over(struct weir_task *task, int64_t result);

#endif

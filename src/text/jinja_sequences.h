/*
 * jinja_sequences.h - the filters of sequences, for the table in jinja_filters.c.
 */
#ifndef GAB_TEXT_JINJA_SEQUENCES_H
#define GAB_TEXT_JINJA_SEQUENCES_H

#include "text/jinja_eval.h"

gab_jinja_value gab_jinja_filter_batch(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_dictsort(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_first(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_join(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_last(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_list(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_map(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_max(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_min(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_reject(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_rejectattr(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_reverse(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_select(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_selectattr(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_sort(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_sum(const gab_jinja_call *call);
gab_jinja_value gab_jinja_filter_unique(const gab_jinja_call *call);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * html.h: the parts of the page (html.c). Each section is one function, which says what it has to
 * say and leaves out what there is nothing of.
 */
#ifndef SIM_HTML_H
#define SIM_HTML_H

#include "markup.h"
#include "report.h"

/** The style sheet. */
extern const char html_style[];

/** A section with that id and heading, and its end. */
void html_open(struct markup *m, const char *id, const char *title);
void html_close(struct markup *m);

/** A folded table, and its end. */
void html_open_table(struct markup *m, const char *summary);
void html_close_table(struct markup *m);

/* The sections; those of a replay only where there was one. */
void html_violations(struct markup *m, const struct report_data *d);
void html_timeline(struct markup *m, const struct report_data *d);
void html_types(struct markup *m, const struct report_data *d);
void html_lifetimes(struct markup *m, const struct report_data *d);
void html_memory(struct markup *m, const struct report_data *d);
void html_latency(struct markup *m, const struct report_data *d);
void html_trace(struct markup *m, const struct report_data *d);

#endif

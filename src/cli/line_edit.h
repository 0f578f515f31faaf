/*
 * line_edit.h - lines that can be edited, with history: libedit. Built only with GAB_LIBEDIT; line_input.c reads
 * plainly without it. The history lies in the user's state folder, for the user alone.
 */
#ifndef GAB_CLI_LINE_EDIT_H
#define GAB_CLI_LINE_EDIT_H

#include "cli/line_input.h"

typedef struct line_edit line_edit;

/* NULL: the terminal cannot do it. */
line_edit *line_edit_create(void);
void line_edit_destroy(line_edit **edit);

/* *line has n bytes, without its end, and lives until the next call. */
line_result line_edit_read(line_edit *edit, const char *prompt, const char **line, size_t *n);

#endif

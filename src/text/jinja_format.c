/*
 * jinja_format.c - Python's three ways to format: "..." % values, "...".format(...), and strftime, whose words are the
 * C locale's.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_eval.h"
#include "text/jinja_unicode.h"

typedef gab_jinja_value value;

enum { WIDTH_MAX = 10000, PRECISION_MAX = 300 };

/* What stands behind % or : */
typedef struct spec {
    char fill[4];
    size_t n_fill;
    char align, sign, type; /* align: one of < > ^ = or 0 */
    bool zero, alternate, comma;
    int width, precision; /* precision -1: not given */
} spec;

/* ---- numbers ---- */

static void put_number(gab_jinja_buffer *out, char type, double real, int precision) {
    char format[] = {'%', '.', '*', type, 0}, text[700];
    snprintf(text, sizeof text, format, precision, real);
    for (char *c = text; *c; c++)
        if (*c == ',') *c = '.'; /* the locale's */
    gab_jinja_put_text(out, text);
}

void gab_jinja_put_fixed(gab_jinja_buffer *out, double real, int precision) {
    put_number(out, 'f', real, precision);
}

static void put_integer(gab_jinja_buffer *out, uint64_t integer, char type, bool alternate) {
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    char digits[66];
    size_t n = 0;
    do {
        digits[n++] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[integer % base];
        integer /= base;
    } while (integer);
    if (alternate && base != 10) gab_jinja_put_format(out, "0%c", type);
    while (n) gab_jinja_put(out, &digits[--n], 1);
}

/* The digits of |v|, without sign. */
static void put_digits(gab_jinja_buffer *out, value v, const spec *s) {
    bool real = v.kind == GAB_JINJA_FLOAT || (s->type && strchr("eEfFgG%", s->type));
    if (!real) {
        int64_t integer = gab_jinja_integer(v);
        put_integer(out, integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer, s->type, s->alternate);
    } else {
        double magnitude = fabs(gab_jinja_real(v));
        if (!s->type && s->precision < 0)
            gab_jinja_print_real(out, magnitude);
        else
            put_number(out,
                       s->type == '%' ? 'f'
                       : s->type      ? s->type
                                      : 'g',
                       s->type == '%' ? 100 * magnitude : magnitude, s->precision < 0 ? 6 : s->precision);
        if (s->type == '%') gab_jinja_put_text(out, "%");
    }
}

static void group_thousands(gab_jinja_buffer *out, const gab_jinja_buffer *digits) {
    size_t whole = 0;
    while (whole < digits->n && digits->text[whole] >= '0' && digits->text[whole] <= '9') whole++;
    for (size_t i = 0; i < digits->n; i++) {
        if (i && i < whole && (whole - i) % 3 == 0) gab_jinja_put_text(out, ",");
        gab_jinja_put(out, &digits->text[i], 1);
    }
}

/* ---- padding ---- */

static void put_fill(gab_jinja_buffer *out, const spec *s, size_t n) {
    gab_jinja_step(out->run, n / 8);
    for (size_t i = 0; i < n; i++) {
        if (s->zero && s->align == '=')
            gab_jinja_put_text(out, "0");
        else
            gab_jinja_put(out, s->n_fill ? s->fill : " ", s->n_fill ? s->n_fill : 1);
    }
}

/* sign and body to the width; `=` fills between them. */
static void put_padded(gab_jinja_buffer *out, const spec *s, const char *sign, const gab_jinja_buffer *body) {
    size_t n = strlen(sign) + gab_jinja_count(body->text, body->n);
    size_t missing = (size_t)s->width > n ? (size_t)s->width - n : 0;
    size_t before = s->align == '>' ? missing : s->align == '^' ? missing / 2 : 0;
    put_fill(out, s, before);
    gab_jinja_put_text(out, sign);
    if (s->align == '=') put_fill(out, s, missing);
    gab_jinja_put(out, body->text, body->n);
    if (s->align != '=') put_fill(out, s, missing - before);
}

static void put_formatted_number(gab_jinja_buffer *out, value v, const spec *given) {
    gab_jinja_buffer digits = {.run = out->run}, grouped = {.run = out->run};
    spec s = *given;
    bool negative = v.kind == GAB_JINJA_FLOAT ? signbit(v.real) && !isnan(v.real) : gab_jinja_integer(v) < 0;
    char sign[] = {negative ? '-' : s.sign == '-' ? 0 : s.sign, 0};
    put_digits(&digits, v, &s);
    if (s.comma) group_thousands(&grouped, &digits);
    if (!s.align) s.align = s.zero ? '=' : '>';
    put_padded(out, &s, sign, s.comma ? &grouped : &digits);
}

static void put_formatted_text(gab_jinja_buffer *out, value text, const spec *given) {
    spec s = *given;
    size_t n = text.string->n;
    if (s.precision >= 0) n = gab_jinja_offset(text.string->text, n, (size_t)s.precision);
    gab_jinja_buffer body = {.run = out->run};
    gab_jinja_put(&body, text.string->text, n);
    if (!s.align) s.align = '<';
    put_padded(out, &s, "", &body);
}

/* A number in the format, at most `max`; -1: none. */
static int read_count(gab_jinja_run *run, const gab_jinja_string *format, size_t *at, int max) {
    int n = -1;
    for (; *at < format->n && format->text[*at] >= '0' && format->text[*at] <= '9'; ++*at) {
        n = 10 * (n < 0 ? 0 : n) + format->text[*at] - '0';
        if (n > max) gab_jinja_fail(run, GAB_ERROR_LIMIT, "a width in a format is larger than %d", max);
    }
    return n;
}

/* ---- "..." % values ---- */

typedef struct values {
    value all;
    const gab_jinja_list *list; /* of a tuple */
    size_t next;
} values;

static value take_value(gab_jinja_run *run, values *v) {
    bool single = !v->list && v->next == 0;
    if (!single && (!v->list || v->next >= v->list->n))
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%%' has too few values for its format");
    v->next++;
    return single ? v->all : v->list->items[v->next - 1];
}

static value take_keyed(gab_jinja_run *run, const gab_jinja_string *format, size_t *at, values *v) {
    const char *end = memchr(format->text + *at, ')', format->n - *at);
    if (!end || v->all.kind != GAB_JINJA_DICT)
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%%(name)' in a format needs a mapping");
    size_t n = (size_t)(end - format->text) - *at;
    const value *found = gab_jinja_dict_get(run, v->all.dict, gab_jinja_text(run, format->text + *at, n));
    if (!found) gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%%': there is no '%.*s'", (int)n, format->text + *at);
    *at += n + 1;
    return *found;
}

static void put_percent(gab_jinja_buffer *out, value v, spec *s) {
    gab_jinja_run *run = out->run;
    if (s->type == 's' || s->type == 'r') {
        gab_jinja_buffer text = {.run = run};
        if (s->type == 's')
            gab_jinja_print(&text, v);
        else
            gab_jinja_print_repr(&text, v);
        s->zero = false;
        if (!s->align) s->align = '>';
        put_formatted_text(out, gab_jinja_buffer_value(&text), s);
        return;
    }
    if (!s->type || !strchr("diuxXofFeEgG", s->type))
        gab_jinja_fail(run, GAB_ERROR_UNSUPPORTED, "'%%%c' in a format is not supported", s->type ? s->type : '?');
    gab_jinja_require_defined(run, v);
    if (!gab_jinja_is_number(v))
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%%%c' in a format needs a number, not a %s", s->type,
                       gab_jinja_type_name(v));
    if (strchr("diuxXo", s->type)) {
        if (v.kind == GAB_JINJA_FLOAT && !(fabs(v.real) < 9e18 && strchr("diu", s->type)))
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%%%c' in a format needs an int", s->type);
        if (v.kind == GAB_JINJA_FLOAT) v = gab_jinja_int((int64_t)v.real);
        if (strchr("iu", s->type)) s->type = 'd';
    }
    if (s->align == '<') s->zero = false;
    put_formatted_number(out, v, s);
}

value gab_jinja_format_percent(gab_jinja_run *run, const gab_jinja_string *format, value all) {
    gab_jinja_buffer out = {.run = run};
    values v = {.all = all, .list = all.kind == GAB_JINJA_TUPLE ? all.list : NULL};
    bool keyed = false;
    gab_jinja_step(run, format->n / 16);
    for (size_t i = 0; i < format->n;) {
        if (format->text[i] != '%') {
            gab_jinja_put(&out, &format->text[i++], 1);
            continue;
        }
        spec s = {.precision = -1};
        value item = {.kind = GAB_JINJA_MISSING};
        if (++i < format->n && format->text[i] == '(') {
            i++;
            item = take_keyed(run, format, &i, &v);
            keyed = true;
        }
        for (; i < format->n && format->text[i] && strchr("-+ 0#", format->text[i]); i++) {
            char flag = format->text[i];
            if (flag == '-') s.align = '<';
            if (flag == '+' || (flag == ' ' && !s.sign)) s.sign = flag;
            if (flag == '0') s.zero = true;
            if (flag == '#') s.alternate = true;
        }
        int width = read_count(run, format, &i, WIDTH_MAX);
        s.width = width < 0 ? 0 : width;
        if (i < format->n && format->text[i] == '.') {
            i++;
            s.precision = read_count(run, format, &i, PRECISION_MAX);
            if (s.precision < 0) s.precision = 0;
        }
        if (i == format->n) gab_jinja_fail(run, GAB_ERROR_FORMAT, "a format ends behind '%%'");
        s.type = format->text[i++];
        if (s.type == '%') {
            gab_jinja_put_text(&out, "%");
            continue;
        }
        put_percent(&out, item.kind == GAB_JINJA_MISSING ? take_value(run, &v) : item, &s);
    }
    size_t n = v.list ? v.list->n : all.kind == GAB_JINJA_DICT || all.kind == GAB_JINJA_LIST ? v.next : 1;
    if (!keyed && v.next < n) gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%%' has more values than its format");
    return gab_jinja_buffer_value(&out);
}

/* ---- "...".format(...) ---- */

static bool is_align(char c) {
    return c == '<' || c == '>' || c == '^' || c == '=';
}

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static spec read_spec(gab_jinja_run *run, const gab_jinja_string *text) {
    spec s = {.precision = -1};
    size_t i = 0, length = 0;
    if (text->n) gab_jinja_decode(text->text, text->n, &length);
    if (text->n > length && is_align(text->text[length])) {
        memcpy(s.fill, text->text, length);
        s.n_fill = length;
        s.align = text->text[length];
        i = length + 1;
    } else if (text->n && is_align(text->text[0])) {
        s.align = text->text[i++];
    }
    if (i < text->n && text->text[i] && strchr("+- ", text->text[i])) s.sign = text->text[i++];
    if (i < text->n && text->text[i] == '#') {
        s.alternate = true;
        i++;
    }
    if (i < text->n && text->text[i] == '0') s.zero = !s.align;
    int width = read_count(run, text, &i, WIDTH_MAX);
    s.width = width < 0 ? 0 : width;
    if (i < text->n && text->text[i] == ',') {
        s.comma = true;
        i++;
    }
    if (i < text->n && text->text[i] == '.') {
        i++;
        s.precision = read_count(run, text, &i, PRECISION_MAX);
    }
    if (i < text->n) s.type = text->text[i++];
    if (i < text->n || (s.type && !strchr("bdeEfFgGnosxX%", s.type)))
        gab_jinja_fail(run, GAB_ERROR_UNSUPPORTED, "the format '%.*s' is not supported",
                       text->n < 40 ? (int)text->n : 40, text->text);
    return s;
}

static void put_braces(gab_jinja_buffer *out, value v, char conversion, const gab_jinja_string *text) {
    gab_jinja_run *run = out->run;
    spec s = read_spec(run, text);
    if (conversion) {
        gab_jinja_buffer shown = {.run = run};
        if (conversion == 'r')
            gab_jinja_print_repr(&shown, v);
        else
            gab_jinja_print(&shown, v);
        v = gab_jinja_buffer_value(&shown);
    }
    bool number = v.kind == GAB_JINJA_INT || v.kind == GAB_JINJA_FLOAT || (v.kind == GAB_JINJA_BOOL && text->n);
    if (number && s.type != 's') {
        put_formatted_number(out, v, &s);
        return;
    }
    if (text->n && (v.kind != GAB_JINJA_STRING || (s.type && s.type != 's')))
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "a %s cannot be formatted with '%.*s'", gab_jinja_type_name(v),
                       text->n < 40 ? (int)text->n : 40, text->text);
    s.type = 0;
    put_formatted_text(out, gab_jinja_str(run, v), &s);
}

/* name.attribute, 0, or nothing: the next one. */
static value find_field(gab_jinja_run *run, const gab_jinja_string *field, const gab_jinja_args *args, size_t *next) {
    size_t n = 0, at = 0;
    while (n < field->n && field->text[n] != '.' && field->text[n] != '[') n++;
    if (n < field->n && field->text[n] == '[')
        gab_jinja_fail(run, GAB_ERROR_UNSUPPORTED, "a '[' in the braces of a format is not supported");
    const gab_jinja_string name = {.n = n, .text = field->text};
    int place = n ? read_count(run, &name, &at, WIDTH_MAX) : (int)(*next)++;
    size_t k = place < 0 ? 0 : (size_t)place;
    if (place < 0)
        while (k < args->n && !(args->names && args->names[k] && gab_jinja_string_equal(args->names[k], &name))) k++;
    if (k >= args->n || (place >= 0 && args->names && args->names[k]))
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "format: there is no argument for '{%.*s}'",
                       field->n < 40 ? (int)field->n : 40, field->text);
    value v = args->items[k];
    while (n < field->n) {
        size_t from = ++n;
        while (n < field->n && field->text[n] != '.') n++;
        v = gab_jinja_attribute(run, v, gab_jinja_string_make(run, field->text + from, n - from));
    }
    return v;
}

value gab_jinja_format_braces(gab_jinja_run *run, const gab_jinja_string *format, const gab_jinja_args *args) {
    gab_jinja_buffer out = {.run = run};
    size_t next = 0;
    gab_jinja_step(run, format->n / 16);
    for (size_t i = 0; i < format->n; i++) {
        const char *text = format->text + i;
        if (*text != '{' && *text != '}') {
            gab_jinja_put(&out, text, 1);
            continue;
        }
        if (i + 1 < format->n && text[1] == *text) {
            gab_jinja_put(&out, text, 1);
            i++;
            continue;
        }
        const char *end = *text == '{' ? memchr(text, '}', format->n - i) : NULL;
        if (!end) gab_jinja_fail(run, GAB_ERROR_FORMAT, "a single '%c' in a format", *text);
        const char *colon = memchr(text, ':', (size_t)(end - text)), *stop = colon ? colon : end;
        char conversion = 0;
        if (stop - text >= 3 && stop[-2] == '!') {
            conversion = stop[-1];
            stop -= 2;
        }
        gab_jinja_string field = {.n = (size_t)(stop - text - 1), .text = text + 1}, spec_text = {.text = ""};
        if (colon) spec_text = (gab_jinja_string){.n = (size_t)(end - colon - 1), .text = colon + 1};
        put_braces(&out, find_field(run, &field, args, &next), conversion, &spec_text);
        i = (size_t)(end - format->text);
    }
    return gab_jinja_buffer_value(&out);
}

/* ---- strftime ---- */

static const char *const DAYS[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const MONTHS[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};

/* Two digits, or more; `dash`: none that is not needed; `space`: filled with it. */
static void put_two(gab_jinja_buffer *out, int n, bool dash, bool space) {
    gab_jinja_put_format(out, dash ? "%d" : space ? "%2d" : "%02d", n);
}

static void put_time_field(gab_jinja_buffer *out, char field, bool dash, const struct tm *t) {
    int hour12 = t->tm_hour % 12 ? t->tm_hour % 12 : 12, monday = (t->tm_wday + 6) % 7;
    const char *day = DAYS[t->tm_wday % 7], *month = MONTHS[t->tm_mon % 12];
    switch (field) {
    case 'Y': gab_jinja_put_format(out, "%d", t->tm_year + 1900); break;
    case 'y': put_two(out, t->tm_year % 100, dash, false); break;
    case 'C': put_two(out, (t->tm_year + 1900) / 100, dash, false); break;
    case 'm': put_two(out, t->tm_mon + 1, dash, false); break;
    case 'd': put_two(out, t->tm_mday, dash, false); break;
    case 'e': put_two(out, t->tm_mday, dash, true); break;
    case 'H': put_two(out, t->tm_hour, dash, false); break;
    case 'k': put_two(out, t->tm_hour, dash, true); break;
    case 'I': put_two(out, hour12, dash, false); break;
    case 'l': put_two(out, hour12, dash, true); break;
    case 'M': put_two(out, t->tm_min, dash, false); break;
    case 'S': put_two(out, t->tm_sec, dash, false); break;
    case 'j': gab_jinja_put_format(out, dash ? "%d" : "%03d", t->tm_yday + 1); break;
    case 'u': gab_jinja_put_format(out, "%d", monday + 1); break;
    case 'w': gab_jinja_put_format(out, "%d", t->tm_wday); break;
    case 'U': put_two(out, (t->tm_yday + 7 - t->tm_wday) / 7, dash, false); break;
    case 'W': put_two(out, (t->tm_yday + 7 - monday) / 7, dash, false); break;
    case 'f': gab_jinja_put_text(out, "000000"); break;
    case 'A': gab_jinja_put_text(out, day); break;
    case 'a': gab_jinja_put(out, day, 3); break;
    case 'B': gab_jinja_put_text(out, month); break;
    case 'b':
    case 'h': gab_jinja_put(out, month, 3); break;
    case 'p': gab_jinja_put_text(out, t->tm_hour < 12 ? "AM" : "PM"); break;
    case 'P': gab_jinja_put_text(out, t->tm_hour < 12 ? "am" : "pm"); break;
    case 'n': gab_jinja_put_text(out, "\n"); break;
    case 't': gab_jinja_put_text(out, "\t"); break;
    case '%': gab_jinja_put_text(out, "%"); break;
    case 'Z':
    case 'z': break; /* a time without a zone */
    default: gab_jinja_fail(out->run, GAB_ERROR_UNSUPPORTED, "'%%%c' of strftime is not supported", field);
    }
}

void gab_jinja_format_time(gab_jinja_buffer *out, const gab_jinja_string *format, const struct tm *time) {
    static const struct {
        char field;
        const char *means;
    } compound[] = {{'F', "%Y-%m-%d"}, {'D', "%m/%d/%y"}, {'T', "%H:%M:%S"},    {'R', "%H:%M"},
                    {'x', "%m/%d/%y"}, {'X', "%H:%M:%S"}, {'r', "%I:%M:%S %p"}, {'c', "%a %b %e %H:%M:%S %Y"}};
    for (size_t i = 0; i < format->n; i++) {
        if (format->text[i] != '%' || i + 1 == format->n) {
            gab_jinja_put(out, &format->text[i], 1);
            continue;
        }
        char field = format->text[++i];
        bool dash = field == '-' && i + 1 < format->n, done = false;
        if (dash) field = format->text[++i];
        for (size_t k = 0; k < sizeof compound / sizeof *compound; k++) {
            if (compound[k].field != field) continue;
            const gab_jinja_string means = {.n = strlen(compound[k].means), .text = compound[k].means};
            gab_jinja_format_time(out, &means, time);
            done = true;
        }
        if (!done) put_time_field(out, field, dash, time);
    }
}

/* The native leaf: what each message needs, in C. The functions of sipnode.sip.parser, message and via are the reference.
 *
 * Each function does the usual case only, and gives None for whatever it doesn't know, is faulty or is large: the caller then asks the
 * Python one, which knows all cases and words the faults. So a message that this reads is one that the reference reads to the same end;
 * tests/sip/test_leaf.py compares the two, tools/leaf.py does so for longer and with a build that watches each access to memory.
 *
 * No function keeps a reference to what it is given. Lengths are checked before each access; octets are unsigned char. The table of
 * names is written by learn() alone, at import.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#define SLOTS 1024 /* a power of two */
#define MOST_NAMES (SLOTS / 2)
#define LONGEST 31

typedef struct {
    PyObject *name; /* canonical, interned; NULL: the slot is free */
    unsigned char length, single;
    char spelling[LONGEST + 1];
} Spelling;

static Spelling table[SLOTS];
static Py_ssize_t known;
static PyObject *methods; /* a tuple of str */
static PyObject *numbers[256]; /* what positions of header lines are mostly */
static unsigned char token[256], via_host[256], via_value[256], via_branch[256];

static void mark(unsigned char *class, const char *octets)
{
    for (const unsigned char *at = (const unsigned char *)octets; *at; at++)
        class[*at] = 1;
}

static Spelling *slot(const char *text, size_t length)
{
    unsigned int hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    /* At most half of the slots are taken, so that the search ends. */
    for (unsigned int at = (hash ^ hash >> 15) % SLOTS;; at = (at + 1) % SLOTS) {
        Spelling *found = &table[at];
        if (found->name == NULL || (found->length == length && memcmp(found->spelling, text, length) == 0))
            return found;
    }
}

/* learn(spellings, single, methods): the names that are known, before anything else is called. */
static PyObject *leaf_learn(PyObject *self, PyObject *args)
{
    PyObject *spellings, *single, *words, *key, *name;
    Py_ssize_t position = 0;
    if (!PyArg_ParseTuple(args, "O!O!O!", &PyDict_Type, &spellings, &PyFrozenSet_Type, &single, &PyTuple_Type, &words))
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(words); i++)
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(words, i)) || !PyUnicode_IS_COMPACT_ASCII(PyTuple_GET_ITEM(words, i))) {
            PyErr_SetString(PyExc_ValueError, "a method that is no ASCII text");
            return NULL;
        }
    while (PyDict_Next(spellings, &position, &key, &name)) {
        Py_ssize_t length;
        const char *text = PyUnicode_Check(key) && PyUnicode_CheckExact(name) ? PyUnicode_AsUTF8AndSize(key, &length) : NULL;
        int once = text == NULL ? -1 : PySet_Contains(single, name);
        if (once < 0) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "spellings are text");
            return NULL;
        }
        if (length < 1 || length > LONGEST)
            continue; /* read by the Python one */
        Spelling *place = slot(text, (size_t)length);
        if (place->name == NULL && known++ >= MOST_NAMES) {
            known--;
            PyErr_SetString(PyExc_ValueError, "too many names");
            return NULL;
        }
        Py_INCREF(name);
        Py_XSETREF(place->name, name);
        place->single = (unsigned char)once;
        place->length = (unsigned char)length;
        memcpy(place->spelling, text, (size_t)length);
    }
    Py_INCREF(words);
    Py_XSETREF(methods, words);
    Py_RETURN_NONE;
}

static PyObject *ascii(const char *text, Py_ssize_t length)
{
    PyObject *made = PyUnicode_New(length, 127);
    if (made != NULL)
        memcpy(PyUnicode_1BYTE_DATA(made), text, (size_t)length);
    return made;
}

static PyObject *decoded(const char *text, Py_ssize_t length, int is_ascii)
{
    return is_ascii ? ascii(text, length) : PyUnicode_DecodeUTF8(text, length, "surrogateescape");
}

/* Whether a line has neither control characters but HT nor DEL. *high: it has octets above 127. Without branches, so that the compiler
 * makes vectors of it. */
static int clean(const char *text, Py_ssize_t length, int *high)
{
    const unsigned char *octets = (const unsigned char *)text;
    unsigned char bad = 0, all = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        unsigned char c = octets[i];
        bad |= (unsigned char)((c < 32) & (c != 9)) | (unsigned char)(c == 127);
        all |= c;
    }
    *high = all >> 7;
    return !bad;
}

/* The canonical name of a header line and whether it may be there once; a new reference. NULL without an error: none, or an odd one. */
static PyObject *canonical(const char *line, Py_ssize_t length, int *single)
{
    const char *colon = memchr(line, ':', (size_t)(length < LONGEST + 1 ? length : LONGEST + 1));
    char lower[LONGEST + 1];
    if (colon == NULL || colon == line)
        return NULL;
    size_t size = (size_t)(colon - line);
    Spelling *found = slot(line, size);
    if (found->name == NULL) {
        for (size_t i = 0; i < size; i++) {
            unsigned char c = (unsigned char)line[i];
            if (!token[c])
                return NULL;
            lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        found = slot(lower, size);
        if (found->name == NULL) {
            *single = 0;
            return ascii(lower, (Py_ssize_t)size);
        }
    }
    *single = found->single;
    Py_INCREF(found->name);
    return found->name;
}

/* Content-Length: 0 and *size, or -1 for what the Python one has to judge. */
static int content_length(const char *line, Py_ssize_t length, Py_ssize_t *size)
{
    const char *at = (const char *)memchr(line, ':', (size_t)length) + 1, *end = line + length;
    Py_ssize_t value = 0;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (end == at || end - at > 9)
        return -1;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return -1;
        value = value * 10 + (*at - '0');
    }
    *size = value;
    return 0;
}

/* The start line: *status and *word (a reason) for a response; *word (a method) and *uri for a request. 1, 0 for one that the Python one
 * has to judge, -1 for an error. */
static int start_line(const char *line, Py_ssize_t length, int high, long *status, PyObject **word, PyObject **uri)
{
    *status = 0;
    if (length >= 8 && memcmp(line, "SIP/2.0 ", 8) == 0) {
        if (length < 11 || (length > 11 && line[11] != ' '))
            return 0;
        for (int i = 8; i < 11; i++) {
            if (line[i] < '0' || line[i] > '9')
                return 0;
            *status = *status * 10 + (line[i] - '0');
        }
        if (*status < 100 || *status > 699)
            return 0;
        *word = length > 12 ? decoded(line + 12, length - 12, !high) : PyUnicode_New(0, 0);
        *uri = PyUnicode_New(0, 0);
        return *word != NULL && *uri != NULL ? 1 : -1;
    }
    const char *first = memchr(line, ' ', (size_t)length), *end = line + length - 8;
    if (first == NULL || first == line || length < 12 || memcmp(end, " SIP/2.0", 8) != 0 || end - first < 2)
        return 0;
    if (memchr(first + 1, ' ', (size_t)(end - first - 1)) != NULL)
        return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(methods); i++) {
        PyObject *method = PyTuple_GET_ITEM(methods, i);
        if (PyUnicode_GET_LENGTH(method) == first - line && memcmp(PyUnicode_1BYTE_DATA(method), line, (size_t)(first - line)) == 0) {
            *uri = decoded(first + 1, end - first - 1, !high);
            if (*uri == NULL)
                return -1;
            Py_INCREF(method);
            *word = method;
            return 1;
        }
    }
    return 0;
}

/* One header line into the lists and the index: 1, 0 for one that the Python one has to judge, -1 for an error. */
static int take(const char *line, Py_ssize_t length, int high, PyObject *names, PyObject *lines, PyObject *index)
{
    Py_ssize_t count = PyList_GET_SIZE(names);
    int single, result = -1;
    PyObject *name = canonical(line, length, &single), *text = NULL, *number = NULL, *there;
    if (name == NULL)
        return PyErr_Occurred() ? -1 : 0;
    text = decoded(line, length, !high);
    if (text == NULL || PyList_Append(names, name) < 0 || PyList_Append(lines, text) < 0)
        goto done;
    if (count < 256) {
        number = numbers[count];
        Py_INCREF(number);
    } else if ((number = PyLong_FromSsize_t(count)) == NULL)
        goto done;
    there = PyDict_SetDefault(index, name, number);
    if (there == NULL)
        goto done;
    result = there == number || !single;
done:
    Py_DECREF(name);
    Py_XDECREF(text);
    Py_XDECREF(number);
    return result;
}

/* scan(octets, most octets, most lines, octets of a line, Via values, exact) ->
 * (status or 0, reason or method, Request-URI or "", names, lines, index, body), or None. */
static PyObject *leaf_scan(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    Py_ssize_t bounds[5], body = -1;
    PyObject *word = NULL, *uri = NULL, *names = NULL, *lines = NULL, *index = NULL, *rest = NULL, *made = NULL;
    long status = 0;
    int high, good;
    if (given != 6 || methods == NULL) {
        PyErr_SetString(PyExc_TypeError, "scan(octets, most octets, most lines, octets of a line, Via values, exact), after learn()");
        return NULL;
    }
    for (int i = 1; i < 6; i++) {
        bounds[i - 1] = PyLong_AsSsize_t(args[i]);
        if (bounds[i - 1] == -1 && PyErr_Occurred())
            return NULL;
    }
    if (!PyBytes_CheckExact(args[0]))
        Py_RETURN_NONE;
    const char *start = PyBytes_AS_STRING(args[0]), *end = start + PyBytes_GET_SIZE(args[0]), *at = start;
    if (end - start > bounds[0] || at == end || *at == '\r' || *at == '\n')
        Py_RETURN_NONE;
    names = PyList_New(0);
    lines = PyList_New(0);
    index = PyDict_New();
    if (names == NULL || lines == NULL || index == NULL)
        goto failed;
    for (;;) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));
        if (stop == NULL || end - stop < 2 || stop[1] != '\n')
            goto unknown;
        if (stop == at)
            break;
        if (!clean(at, stop - at, &high))
            goto unknown;
        if (word == NULL)
            good = start_line(at, stop - at, high, &status, &word, &uri);
        else if (PyList_GET_SIZE(names) >= bounds[1] || stop - at > bounds[2])
            goto unknown;
        else {
            good = take(at, stop - at, high, names, lines, index);
            if (good > 0 && body < 0 && (*at == 'C' || *at == 'c' || *at == 'L' || *at == 'l')) {
                PyObject *name = PyList_GET_ITEM(names, PyList_GET_SIZE(names) - 1);
                if (PyUnicode_CompareWithASCIIString(name, "content-length") == 0 && content_length(at, stop - at, &body) < 0)
                    goto unknown;
            }
        }
        if (good <= 0) {
            if (good < 0)
                goto failed;
            goto unknown;
        }
        at = stop + 2;
    }
    if (word == NULL)
        goto unknown;
    if ((at - start - 3) / 12 >= bounds[3]) { /* as there: longer than so many Vias would be */
        Py_ssize_t commas = 0;
        for (const char *each = start; each < at; each++)
            commas += *each == ',';
        if (PyList_GET_SIZE(names) > bounds[3] || commas >= bounds[3])
            goto unknown;
    }
    at += 2;
    if (body > end - at || (body >= 0 && body < end - at && bounds[4]))
        goto unknown;
    rest = PyBytes_FromStringAndSize(at, body >= 0 ? body : end - at);
    if (rest != NULL)
        made = Py_BuildValue("(lOOOOOO)", status, word, uri, names, lines, index, rest);
failed:
    goto done;
unknown:
    Py_INCREF(Py_None);
    made = Py_None;
done:
    Py_XDECREF(word);
    Py_XDECREF(uri);
    Py_XDECREF(names);
    Py_XDECREF(lines);
    Py_XDECREF(index);
    Py_XDECREF(rest);
    return made;
}

/* join(start line, lines, body) -> octets, or None where a line is no text that can be written. */
static PyObject *leaf_join(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    if (given != 3 || !PyUnicode_Check(args[0]) || !PyList_CheckExact(args[1]) || !PyBytes_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "join(start line, lines, body)");
        return NULL;
    }
    /* Only text of ASCII, whose octets are there as they are to be written. No Python code runs in here: the list stays as it is. */
    Py_ssize_t count = PyList_GET_SIZE(args[1]), total = PyBytes_GET_SIZE(args[2]) + 4;
    for (Py_ssize_t i = -1; i < count; i++) {
        PyObject *line = i < 0 ? args[0] : PyList_GET_ITEM(args[1], i);
        if (!PyUnicode_Check(line) || !PyUnicode_IS_COMPACT_ASCII(line))
            Py_RETURN_NONE;
        if (PyUnicode_GET_LENGTH(line) > PY_SSIZE_T_MAX - 2 - total)
            return PyErr_NoMemory();
        total += PyUnicode_GET_LENGTH(line) + (i < 0 ? 0 : 2);
    }
    if (count == 0)
        total += 2; /* "\r\n" of the start line stands even so, as the reference has it */
    PyObject *made = PyBytes_FromStringAndSize(NULL, total);
    if (made == NULL)
        return NULL;
    char *at = PyBytes_AS_STRING(made);
    for (Py_ssize_t i = -1; i < count; i++) {
        PyObject *line = i < 0 ? args[0] : PyList_GET_ITEM(args[1], i);
        size_t length = (size_t)PyUnicode_GET_LENGTH(line);
        memcpy(at, PyUnicode_1BYTE_DATA(line), length);
        at += length;
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    if (count == 0) {
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    memcpy(at, "\r\n", 2);
    memcpy(at + 2, PyBytes_AS_STRING(args[2]), (size_t)PyBytes_GET_SIZE(args[2]));
    return made;
}

/* value(line) -> what stands behind the colon, without white space around it; None for a line with folds or not of ASCII. */
static PyObject *leaf_value(PyObject *self, PyObject *line)
{
    if (!PyUnicode_Check(line) || !PyUnicode_IS_COMPACT_ASCII(line))
        Py_RETURN_NONE;
    const char *at = (const char *)PyUnicode_1BYTE_DATA(line), *end = at + PyUnicode_GET_LENGTH(line);
    const char *colon = memchr(at, ':', (size_t)(end - at));
    at = colon == NULL ? at : colon + 1;
    if (memchr(at, '\n', (size_t)(end - at)) != NULL)
        Py_RETURN_NONE;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return ascii(at, end - at);
}

/* via(value) -> (transport, host, port or 0, parameters, branch), or None for what isn't the usual spelling of one. */
static PyObject *leaf_via(PyObject *self, PyObject *value)
{
    static const char *const transports[] = {"UDP ", "TCP ", "TLS ", "WSS ", "WS "};
    if (!PyUnicode_Check(value) || !PyUnicode_IS_COMPACT_ASCII(value))
        Py_RETURN_NONE;
    const char *start = (const char *)PyUnicode_1BYTE_DATA(value), *end = start + PyUnicode_GET_LENGTH(value), *at = start + 8;
    const char *branch = NULL, *branch_end = NULL;
    Py_ssize_t size = 0, port = 0;
    if (end - start < 12 || memcmp(start, "SIP/2.0/", 8) != 0)
        Py_RETURN_NONE;
    for (size_t i = 0; i < sizeof transports / sizeof *transports && !size; i++)
        if (strncmp(at, transports[i], strlen(transports[i])) == 0) /* ends at the NUL behind the text */
            size = (Py_ssize_t)strlen(transports[i]);
    if (!size)
        Py_RETURN_NONE;
    const char *host = at + size, *host_end;
    for (host_end = host; host_end < end && via_host[(unsigned char)*host_end]; host_end++)
        ;
    if (host_end == host || host_end == end || *host == '.' || *host == '-' || host_end[-1] == '.' || host_end[-1] == '-')
        Py_RETURN_NONE;
    const char *params = host_end;
    if (*params == ':') {
        for (params++; params < end && *params >= '0' && *params <= '9' && params - host_end <= 5; params++)
            port = port * 10 + (*params - '0');
        if (port < 1 || port > 65535)
            Py_RETURN_NONE;
    }
    for (const char *each = params; each < end;) {
        const char *name = each + 1, *stop = name;
        if (*each != ';')
            Py_RETURN_NONE;
        while (stop < end && *stop >= 'a' && *stop <= 'z')
            stop++;
        if (stop == name)
            Py_RETURN_NONE;
        each = stop;
        if (stop < end && *stop == '=') {
            int is_branch = stop - name == 6 && memcmp(name, "branch", 6) == 0;
            const unsigned char *class = is_branch ? via_branch : via_value;
            for (each = stop + 1; each < end && class[(unsigned char)*each]; each++)
                ;
            if (each == stop + 1 || (is_branch && branch != NULL))
                Py_RETURN_NONE;
            if (is_branch) {
                branch = stop + 1;
                branch_end = each;
            }
        }
    }
    if (branch == NULL)
        Py_RETURN_NONE;
    return Py_BuildValue("(NNnNN)", ascii(at, size - 1), ascii(host, host_end - host), port, ascii(params, end - params),
                         ascii(branch, branch_end - branch));
}

static PyMethodDef functions[] = {
    {"learn", leaf_learn, METH_VARARGS, NULL},
    {"scan", (PyCFunction)(void (*)(void))leaf_scan, METH_FASTCALL, NULL},
    {"join", (PyCFunction)(void (*)(void))leaf_join, METH_FASTCALL, NULL},
    {"value", leaf_value, METH_O, NULL},
    {"via", leaf_via, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sipnode.sip._leaf", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__leaf(void)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789", capitals[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    unsigned char *const classes[] = {token, via_host, via_value, via_branch};
    for (int i = 0; i < 4; i++) {
        mark(classes[i], letters);
        if (i != 1)
            mark(classes[i], capitals);
    }
    mark(token, "-.!%*_+`'~");
    mark(via_host, ".-");
    mark(via_value, ".:-");
    mark(via_branch, ".-_~+=");
    for (long i = 0; i < 256; i++)
        if (numbers[i] == NULL && (numbers[i] = PyLong_FromLong(i)) == NULL)
            return NULL;
    return PyModule_Create(&definition);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A main for fuzz targets without libFuzzer: runs the target over files and over directories of
 * files (not their subdirectories), in the order of their names. For gcc, Valgrind, and the corpus
 * as a regression test.
 *
 * Exit: 0 all ran, 2 usage, 3 a file could not be read or no file was there; a finding aborts.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static size_t files_run;

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 3;
    }
    uint8_t *data = NULL;
    size_t n = 0;
    size_t room = 0;
    for (;;) {
        if (n == room) {
            room = room == 0 ? 4096 : room * 2;
            uint8_t *more = realloc(data, room);
            if (more == NULL) {
                fprintf(stderr, "%s: too large\n", path);
                free(data);
                fclose(f);
                return 3;
            }
            data = more;
        }
        size_t got = fread(data + n, 1, room - n, f);
        if (got == 0) {
            break;
        }
        n += got;
    }
    int bad = ferror(f);
    fclose(f);
    if (bad) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        return 3;
    }
    /* A copy of the exact size, so that Memcheck and ASan see a read past its end. */
    uint8_t *exact = malloc(n == 0 ? 1 : n);
    if (exact == NULL) {
        free(data);
        return 3;
    }
    memcpy(exact, data, n);
    free(data);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    files_run++;
    return 0;
}

static int run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 3;
    }
    if (!S_ISDIR(st.st_mode)) {
        return run_file(path);
    }
    struct dirent **entry;
    int count = scandir(path, &entry, NULL, alphasort);
    if (count < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 3;
    }
    int result = 0;
    for (int i = 0; i < count; i++) {
        char *full = NULL;
        if (entry[i]->d_name[0] != '.' && asprintf(&full, "%s/%s", path, entry[i]->d_name) >= 0) {
            if (stat(full, &st) == 0 && S_ISREG(st.st_mode)) {
                int r = run_file(full);
                result = r != 0 ? r : result;
            }
            free(full);
        }
        free(entry[i]);
    }
    free(entry);
    return result;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE-OR-DIRECTORY...\n", argv[0]);
        return 2;
    }
    int result = 0;
    for (int i = 1; i < argc; i++) {
        int r = run_path(argv[i]);
        result = r != 0 ? r : result;
    }
    if (result == 0 && files_run == 0) {
        fprintf(stderr, "%s: no files to run\n", argv[1]);
        return 3;
    }
    printf("%zu files\n", files_run);
    return result;
}

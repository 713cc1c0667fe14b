/* Feeds every seed of a fuzz target to it once, so that `make check` proves
 * that what a fuzzer has found stays mended, without needing a fuzzer.
 *
 * The seeds of the program fuzz_<name> are the files in seeds/<name>/ below
 * CH_FUZZ_SEEDS; files named on the command line are taken instead. A seed is
 * given in a block of exactly its size, so that a sanitizer sees any overrun.
 */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* a seed that takes longer has found an endless loop */
#define SECONDS_PER_SEED 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#pragma weak LLVMFuzzerInitialize

static void stop(const char *what, const char *path)
{
    fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
    exit(2);
}

static uint8_t *read_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);

    if (!file || !data || fread(data, 1, size, file) != size) {
        stop("can't read", path);
    }
    fclose(file);
    return data;
}

/* Returns 1 if path was a file and has been replayed, else 0. */
static unsigned replay(const char *path)
{
    struct stat st;
    uint8_t *data;

    if (stat(path, &st) != 0) {
        stop("can't find", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return 0;
    }
    data = read_file(path, (size_t)st.st_size);
    /* named before it runs: if it crashes, this is the last line */
    printf("seed %s\n", path);
    fflush(stdout);
    alarm(SECONDS_PER_SEED);
    LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
    alarm(0);
    free(data);
    return 1;
}

static unsigned replay_directory(const char *directory)
{
    struct dirent **names;
    char path[4096];
    unsigned seeds = 0;
    int count = scandir(directory, &names, NULL, alphasort);
    int i;

    if (count < 0) {
        stop("can't list", directory);
    }
    for (i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", directory,
                     names[i]->d_name);
            seeds += replay(path);
        }
        free(names[i]);
    }
    free(names);
    return seeds;
}

/* The program's name without its directory and the prefixes "lt-", "fuzz_". */
static const char *target_name(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;

    if (strncmp(name, "lt-", 3) == 0) {
        name += 3;
    }
    if (strncmp(name, "fuzz_", 5) == 0) {
        name += 5;
    }
    return name;
}

int main(int argc, char **argv)
{
    const char *seeds_root = getenv("CH_FUZZ_SEEDS");
    const char *name = target_name(argv[0]);
    char directory[2048];
    unsigned seeds = 0;
    int i;

    if (LLVMFuzzerInitialize) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    for (i = 1; i < argc; i++) {
        seeds += replay(argv[i]);
    }
    if (argc < 2) {
        snprintf(directory, sizeof(directory), "%s/%s",
                 seeds_root ? seeds_root : "tests/fuzz/seeds", name);
        seeds = replay_directory(directory);
    }
    printf("%s: replayed %u seeds\n", name, seeds);
    return seeds == 0;
}

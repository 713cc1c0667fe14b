/* Keeps inboxes in pairs of sockets, and who reads which in shared memory. */
#include "realtime/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include "base/steady.h"

#define DIRECT_MAX 61440 /* bytes that go through the socket itself */
#define LONG_MAX_BYTES ((off_t)256 << 20)
#define BUFFER_BYTES 1048576
#define PATIENCE apr_time_from_sec(1)
#define LOOK_MS 50 /* so often somebody who waits looks who is dead */

/* The first byte of a packet. A file's descriptor comes before the caller's.
 */
#define DIRECT 'd'
#define IN_FILE 'f'
#define AND_FD 0x80 /* one of the caller's comes along */
#define FDS_MAX 2

/* --- memory ----------------------------------------------------------- */

/* Each member is an atomic of its own. */
typedef struct {
    apr_uint64_t owner; /* life and pid of who reads it; pid 0 = nobody */
    apr_uint32_t ear;   /* the life that listens */
    apr_int32_t count[CH_WIRE_COUNTS];
    apr_int32_t most, held; /* descriptors */
} slot_t;

struct ch_wire_kept_t {
    int slots;
    struct {
        int in;  /* read by the slot's child */
        int out; /* written by all */
    } fds[CH_WIRE_SLOTS_MAX];
};

static ch_wire_kept_t *wire;
static slot_t *room;
static int own_slot = -1;

/* Who reads the inbox cannot wait for it to be emptied. */
static __thread int reads;

static apr_uint64_t owner_of(int slot)
{
    return __atomic_load_n(&room[slot].owner, __ATOMIC_SEQ_CST);
}

static pid_t pid_of(apr_uint64_t owner)
{
    return (pid_t)(owner & 0xffffffff);
}

static apr_uint32_t life_of(apr_uint64_t owner)
{
    return (apr_uint32_t)(owner >> 32);
}

static apr_uint64_t owner_with(apr_uint32_t life, pid_t pid)
{
    return (apr_uint64_t)life << 32 | (apr_uint32_t)pid;
}

static int swap_owner(int slot, apr_uint64_t from, apr_uint64_t to)
{
    return __atomic_compare_exchange_n(&room[slot].owner, &from, to, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static int is_dead(pid_t pid)
{
    return pid && kill(pid, 0) != 0 && errno == ESRCH;
}

static int slot_count(void)
{
    return wire && room ? wire->slots : 0;
}

/* --- parent ----------------------------------------------------------- */

/* More than the system allows everybody is for root. */
static void enlarge(int fd, int how, int how_root)
{
    const int size = BUFFER_BYTES;

    if (setsockopt(fd, SOL_SOCKET, how_root, &size, sizeof(size)) != 0) {
        setsockopt(fd, SOL_SOCKET, how, &size, sizeof(size));
    }
}

/* Has the descriptor closed with pool, by a function that is still there when
 * this module is not. */
static int keep(apr_pool_t *pool, int fd)
{
    apr_file_t *file;

    return apr_os_pipe_put_ex(&file, &fd, 1, pool) == APR_SUCCESS;
}

static int make_pair(apr_pool_t *pool, int *in, int *out)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   fds)
        != 0) {
        return 0;
    }
    enlarge(fds[0], SO_RCVBUF, SO_RCVBUFFORCE);
    enlarge(fds[1], SO_SNDBUF, SO_SNDBUFFORCE);
    *in = fds[0];
    *out = fds[1];
    return keep(pool, fds[0]) && keep(pool, fds[1]);
}

ch_wire_kept_t *ch_wire_make(apr_pool_t *pool, ch_wire_kept_t *kept, int slots)
{
    apr_pool_t *sub;
    int i;

    wire = kept;
    if (kept || slots < 1 || apr_pool_create(&sub, pool) != APR_SUCCESS) {
        return kept;
    }
    kept = apr_pcalloc(sub, sizeof(*kept));
    kept->slots = slots < CH_WIRE_SLOTS_MAX ? slots : CH_WIRE_SLOTS_MAX;
    for (i = 0; i < kept->slots; i++) {
        if (!make_pair(sub, &kept->fds[i].in, &kept->fds[i].out)) {
            apr_pool_destroy(sub);
            return NULL;
        }
    }
    wire = kept;
    return kept;
}

void ch_wire_open(void *memory)
{
    room = memory;
}

size_t ch_wire_size(void)
{
    return sizeof(slot_t) * CH_WIRE_SLOTS_MAX;
}

/* --- slots ------------------------------------------------------------ */

int ch_wire_slot(void)
{
    return __atomic_load_n(&own_slot, __ATOMIC_SEQ_CST);
}

apr_uint32_t ch_wire_life(int slot)
{
    return slot >= 0 && slot < slot_count() ? life_of(owner_of(slot)) : 0;
}

int ch_wire_lives(int slot)
{
    pid_t pid = slot >= 0 && slot < slot_count() ? pid_of(owner_of(slot)) : 0;

    return pid && !is_dead(pid);
}

static apr_status_t give_back(void *unused)
{
    int slot = ch_wire_slot();
    apr_uint64_t owner = slot < 0 ? 0 : owner_of(slot);

    if (pid_of(owner) == getpid()) {
        ch_wire_listen(0);
        swap_owner(slot, owner, owner_with(life_of(owner), 0));
    }
    __atomic_store_n(&own_slot, -1, __ATOMIC_SEQ_CST);
    return APR_SUCCESS;
}

/* Whoever bears our own number and isn't us is dead. */
static int take(int slot)
{
    apr_uint64_t owner = owner_of(slot);
    pid_t before = pid_of(owner);
    apr_uint32_t life = life_of(owner) + 1;

    if (before && before != getpid() && !is_dead(before)) {
        return 0;
    }
    if (!swap_owner(slot, owner, owner_with(life ? life : 1, getpid()))) {
        return 0;
    }
    memset(room[slot].count, 0, sizeof(room[slot].count));
    room[slot].most = room[slot].held = 0;
    return 1;
}

int ch_wire_claim(apr_pool_t *pool)
{
    apr_pool_t *scratch;
    ch_bytes_t bytes;
    int slot, fd;

    for (slot = 0; slot < slot_count() && !take(slot); slot++) {
    }
    if (slot == slot_count()) {
        return 0;
    }
    __atomic_store_n(&own_slot, slot, __ATOMIC_SEQ_CST);
    apr_pool_cleanup_register(pool, NULL, give_back, apr_pool_cleanup_null);
    if (apr_pool_create(&scratch, pool) != APR_SUCCESS) {
        return 1;
    }
    while (ch_wire_next(scratch, &bytes, &fd)) {
        if (fd >= 0) {
            close(fd);
        }
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
    reads = 0; /* the thread that will read is another one */
    return 1;
}

void ch_wire_listen(int on)
{
    int slot = ch_wire_slot();

    if (slot >= 0) {
        __atomic_store_n(&room[slot].ear, on ? ch_wire_life(slot) : 0,
                         __ATOMIC_SEQ_CST);
    }
}

static int listens(int slot)
{
    apr_uint64_t owner = owner_of(slot);

    return pid_of(owner)
           && __atomic_load_n(&room[slot].ear, __ATOMIC_SEQ_CST)
                  == life_of(owner);
}

int ch_wire_heard(void)
{
    int slot;

    for (slot = 0; slot < slot_count(); slot++) {
        if (listens(slot)) {
            return 1;
        }
    }
    return 0;
}

/* --- counts ----------------------------------------------------------- */

int ch_wire_count(int what, int by)
{
    int slot = ch_wire_slot();

    return slot < 0 ? 0
                    : __atomic_add_fetch(&room[slot].count[what], by,
                                         __ATOMIC_RELAXED);
}

void ch_wire_counts(apr_int64_t out[CH_WIRE_COUNTS])
{
    int slot, i;

    memset(out, 0, sizeof(*out) * CH_WIRE_COUNTS);
    for (slot = 0; slot < slot_count(); slot++) {
        pid_t pid = pid_of(owner_of(slot));

        for (i = 0; pid && !is_dead(pid) && i < CH_WIRE_COUNTS; i++) {
            out[i] += __atomic_load_n(&room[slot].count[i], __ATOMIC_RELAXED);
        }
    }
}

void ch_wire_limit(int most)
{
    if (ch_wire_slot() >= 0) {
        __atomic_store_n(&room[own_slot].most, most, __ATOMIC_RELAXED);
    }
}

void ch_wire_hold(int slot, int by)
{
    if (slot >= 0 && slot < slot_count()) {
        __atomic_add_fetch(&room[slot].held, by, __ATOMIC_RELAXED);
    }
}

int ch_wire_roomiest(int least)
{
    int best = -1;
    int slot;

    for (slot = 0; slot < slot_count(); slot++) {
        int left = __atomic_load_n(&room[slot].most, __ATOMIC_RELAXED)
                   - __atomic_load_n(&room[slot].held, __ATOMIC_RELAXED);

        if (left >= least && slot != ch_wire_slot() && ch_wire_lives(slot)) {
            least = left + 1;
            best = slot;
        }
    }
    return best;
}

/* --- reading ---------------------------------------------------------- */

int ch_wire_fd(void)
{
    int slot = ch_wire_slot();

    return slot >= 0 ? wire->fds[slot].in : -1;
}

/* A packet as it came. */
typedef struct {
    ch_bytes_t bytes; /* without the first one */
    int kind;
    int fds[FDS_MAX];
    int count;
} packet_t;

static void close_all(const packet_t *packet)
{
    int i;

    for (i = 0; i < packet->count; i++) {
        close(packet->fds[i]);
    }
}

static void collect_fds(struct msghdr *message, packet_t *out)
{
    struct cmsghdr *head;

    for (head = CMSG_FIRSTHDR(message); head;
         head = CMSG_NXTHDR(message, head)) {
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS
            && count <= FDS_MAX) {
            memcpy(out->fds, CMSG_DATA(head), count * sizeof(int));
            out->count = (int)count;
        }
    }
}

/* 0 when there is none. */
static int receive(int fd, packet_t *out)
{
    static char buffer[DIRECT_MAX + 1]; /* one thread reads */
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control;
    struct iovec part = { .iov_base = buffer, .iov_len = sizeof(buffer) };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    ssize_t len;

    do {
        len = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (len < 0 && errno == EINTR);
    if (len < 1) {
        return 0;
    }
    memset(out, 0, sizeof(*out));
    collect_fds(&message, out);
    out->kind = (unsigned char)buffer[0];
    out->bytes = (ch_bytes_t){ buffer + 1, (size_t)len - 1 };
    return 1;
}

/* What is in a file, whatever its position: others read it too. */
static int read_file(apr_pool_t *pool, int fd, ch_bytes_t *out)
{
    struct stat stat;
    off_t at = 0;
    char *data;

    if (fstat(fd, &stat) != 0 || stat.st_size > LONG_MAX_BYTES) {
        return 0;
    }
    data = apr_palloc(pool, (size_t)stat.st_size + 1);
    while (at < stat.st_size) {
        ssize_t got = pread(fd, data + at, (size_t)(stat.st_size - at), at);

        if (got < 1 && !(got < 0 && errno == EINTR)) {
            return 0;
        }
        at += got > 0 ? got : 0;
    }
    *out = (ch_bytes_t){ data, (size_t)at };
    return 1;
}

/* 0 when a descriptor did not get through: there are too many. */
static int unpack(apr_pool_t *pool, const packet_t *packet, ch_bytes_t *out,
                  int *fd)
{
    int in_file = (packet->kind & ~AND_FD) == IN_FILE;
    int with_fd = (packet->kind & AND_FD) != 0;
    int good = packet->count == in_file + with_fd;

    if (good && in_file) {
        good = read_file(pool, packet->fds[0], out);
    }
    else if (good) {
        out->data = apr_pmemdup(pool, packet->bytes.data, packet->bytes.len);
        out->len = packet->bytes.len;
    }
    if (!good) {
        close_all(packet);
        return 0;
    }
    if (in_file) {
        close(packet->fds[0]);
    }
    *fd = with_fd ? packet->fds[in_file] : -1;
    return 1;
}

int ch_wire_next(apr_pool_t *pool, ch_bytes_t *out, int *fd)
{
    int inbox = ch_wire_fd();
    packet_t packet;

    reads = 1;
    while (inbox >= 0 && receive(inbox, &packet)) {
        if (unpack(pool, &packet, out, fd)) {
            return 1;
        }
    }
    return 0;
}

/* --- writing ---------------------------------------------------------- */

/* A file without a name, -1 when there is none to be had. */
static int make_file(void)
{
    char name[] = "/tmp/chronicle.XXXXXX";
    int fd = memfd_create("chronicle", MFD_CLOEXEC);

    if (fd >= 0) {
        return fd;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0) {
        unlink(name);
    }
    return fd;
}

static int write_file(const char *data, size_t len)
{
    int fd = make_file();
    size_t at = 0;

    while (fd >= 0 && at < len) {
        ssize_t put = write(fd, data + at, len - at);

        if (put < 0 && errno != EINTR) {
            close(fd);
            return -1;
        }
        at += put > 0 ? (size_t)put : 0;
    }
    return fd;
}

static void add_fds(struct msghdr *message, void *control, const packet_t *out)
{
    struct cmsghdr *head = control;

    if (!out->count) {
        return;
    }
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)out->count);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)out->count);
    memcpy(CMSG_DATA(head), out->fds, sizeof(int) * (size_t)out->count);
}

/* 1, 0 when the inbox is full, -1 when it can't be sent. */
static int try_send(int slot, const packet_t *packet)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
    } control = { .bytes = { 0 } };
    char kind = (char)packet->kind;
    struct iovec parts[] = {
        { .iov_base = &kind, .iov_len = 1 },
        { .iov_base = (void *)(uintptr_t)packet->bytes.data,
          .iov_len = packet->bytes.len },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    ssize_t sent;

    add_fds(&message, &control, packet);
    do {
        sent = sendmsg(wire->fds[slot].out, &message,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return 1;
    }
    return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
}

/* Whether the packet is in the slot's inbox. Nobody waits for the dead. */
static int deliver(int slot, const packet_t *packet, apr_time_t until)
{
    struct pollfd room_there = { .fd = wire->fds[slot].out,
                                 .events = POLLOUT };

    for (;;) {
        pid_t pid = pid_of(owner_of(slot));
        int sent = pid ? try_send(slot, packet) : -1;

        if (sent) {
            return sent > 0;
        }
        if (reads || ch_steady_now() >= until || is_dead(pid)) {
            return 0;
        }
        poll(&room_there, 1, LOOK_MS);
    }
}

static int deliver_all(const packet_t *packet)
{
    apr_time_t until = ch_steady_now() + PATIENCE;
    int count = 0;
    int slot;

    for (slot = 0; slot < slot_count(); slot++) {
        if (listens(slot)) {
            count += deliver(slot, packet, until);
        }
    }
    return count;
}

int ch_wire_tell(int slot, const void *data, size_t len, int fd)
{
    packet_t packet = { .kind = DIRECT, .bytes = { data, len } };
    int file = -1;
    int count;

    if (slot != CH_WIRE_ALL && (slot < 0 || slot >= slot_count())) {
        return 0;
    }
    if (len > DIRECT_MAX) {
        file = write_file(data, len);
        if (file < 0) {
            return 0;
        }
        packet.kind = IN_FILE;
        packet.bytes.len = 0;
        packet.fds[packet.count++] = file;
    }
    if (fd >= 0) {
        packet.kind |= AND_FD;
        packet.fds[packet.count++] = fd;
    }
    count = slot == CH_WIRE_ALL
                ? deliver_all(&packet)
                : deliver(slot, &packet, ch_steady_now() + PATIENCE);
    if (file >= 0) {
        close(file);
    }
    return count;
}

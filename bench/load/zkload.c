/* A load generator for ZooKeeper servers that costs next to nothing itself: one thread, epoll, no libraries.
 *
 * It opens N sessions, keeps D requests in flight on each and runs one phase after the other; each prints one line of JSON.
 * Replies must come in the order of the requests, without errors: else it says what was wrong and exits with 1.
 *
 *     zkload PORT [-c sessions] [-d in flight] [-s seconds] [-n znodes] [-b value bytes] [-p pid] [-e] PHASE...
 *
 *   fill      create the znodes /bench/n0000000 ... that are read and written by the others
 *   getData setData create exists delete getChildren     for S seconds; delete: until all that was created here is gone;
 *             several with weights are a mix: getData:8+setData:2
 *   check     read all znodes; print a digest of paths and values, and the sum of their versions: how many setData there were
 *   watch     every session watches D znodes, one writer changes them; time from the writes to the last notification, 5 times
 *   close     close all sessions
 *
 * With -p the processor time that the server's process took for a request is told too: it depends less on what else runs here.
 * With -e a timed phase runs until standard input ends. Microseconds of latency are within 2 %; the maximum is exact.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, DELETE = 2, EXISTS = 3, GET_DATA = 4, SET_DATA = 5, GET_CHILDREN = 8, CLOSE_SESSION = -11, FILL = 100, CHECK };
enum { NODE_EXISTS = -110, HANDSHAKES_MAX = 32, INPUT_BYTES = 1 << 17, PATH_BYTES_MAX = 40, EVENTS = 512, WATCH_ROUNDS = 5 };
enum { SESSIONS_PER_ADDRESS = 40 }; /* servers allow 60 from one address, by default */

typedef struct {
    int fd, xid_sent, xid_got, outstanding, got, notified, is_open;
    long created, deleted, at;
    unsigned char *input;
    int input_bytes; /* the start of a reply whose end has not come */
    uint64_t random, *sent_ns; /* when each request in flight left, and what it was: rings by xid */
    short *kinds;
    long *indexes;
} Session;

static int port, count = 8, depth = 64, until_eof, pid;
static long nodes = 50000;
static double seconds_max = 3;
static int value_bytes = 100;
static Session *sessions, writer;
static int poller;
static unsigned char *output;

static long replies, versions;
static uint64_t digest, reply_bytes, max_ns, buckets[64 * 64];
static int weights[2][8] /* kinds and their weights */, weight_total, weight_count;
static int is_counting;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static void fail(const char *what, long have, long want) {
    fprintf(stderr, "zkload: %s: %ld, expected %ld (%s)\n", what, have, want, strerror(errno));
    exit(1);
}

static void put_int(unsigned char **at, int32_t value) {
    uint32_t big = htonl((uint32_t)value);
    memcpy(*at, &big, 4);
    *at += 4;
}

static int32_t get_int(const unsigned char *at) {
    uint32_t big;
    memcpy(&big, at, 4);
    return (int32_t)ntohl(big);
}

/* Latencies: 64 linear steps in every power of two. */

static void note(uint64_t ns) {
    int shift = ns < 64 ? 0 : 57 - __builtin_clzll(ns);
    buckets[shift * 64 + (ns >> shift)]++;
    if (ns > max_ns) max_ns = ns;
}

static double quantile_us(double q) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < 64 * 64; i++) total += buckets[i];
    for (int i = 0; i < 64 * 64; i++) {
        seen += buckets[i];
        if (seen && seen >= q * total) {
            int shift = i < 128 ? 0 : i / 64 - 1;
            return (double)((uint64_t)(i - shift * 64) << shift) / 1000;
        }
    }
    return 0;
}

/* Requests */

static void put_path(unsigned char **at, char kind, int session, long index) {
    char path[PATH_BYTES_MAX];
    int size = 0;
    if (kind == '/') {
        path[size++] = '/';
    } else {
        memcpy(path, "/bench", 6);
        size = 6;
    }
    if (kind == 'n' || kind == 'c') {
        path[size++] = '/';
        path[size++] = kind;
        if (kind == 'c') {
            for (int part = 1000000; part; part /= 10) path[size++] = '0' + session / part % 10;
            path[size++] = '-';
        }
        for (long part = 1000000; part; part /= 10) path[size++] = '0' + index / part % 10;
    }
    put_int(at, size);
    memcpy(*at, path, size);
    *at += size;
}

static void put_value(unsigned char **at, long index) { /* always the same for a znode, so that all can be checked */
    put_int(at, value_bytes);
    for (int i = 0; i < value_bytes; i++) (*at)[i] = (unsigned char)(index * 31 + i * 7);
    *at += value_bytes;
}

static void put_request(unsigned char **at, Session *s, int number, int kind, long index, int watch) {
    unsigned char *start = *at;
    int xid = ++s->xid_sent, slot = xid % depth;
    *at += 4;
    put_int(at, xid);
    put_int(at, kind == FILL ? CREATE : kind == CHECK ? GET_DATA : kind);
    if (kind == CREATE || kind == FILL) {
        if (index < 0) put_path(at, 'p', 0, 0);
        else put_path(at, kind == FILL ? 'n' : 'c', number, index);
        put_value(at, index < 0 ? 0 : index);
        put_int(at, 1);
        put_int(at, 31);
        put_int(at, 5);
        memcpy(*at, "world", 5);
        *at += 5;
        put_int(at, 6);
        memcpy(*at, "anyone", 6);
        *at += 6;
        put_int(at, 0);
    } else if (kind == DELETE) {
        put_path(at, 'c', number, index);
        put_int(at, -1);
    } else if (kind == SET_DATA) {
        put_path(at, 'n', 0, index);
        put_value(at, index);
        put_int(at, -1);
    } else if (kind != CLOSE_SESSION) {
        put_path(at, kind == GET_CHILDREN ? '/' : 'n', 0, index);
        *(*at)++ = (unsigned char)watch;
    }
    unsigned char *head = start;
    put_int(&head, (int32_t)(*at - start - 4));
    s->kinds[slot] = (short)kind;
    s->indexes[slot] = index;
    s->outstanding++;
}

static void send_all(Session *s, const unsigned char *from, size_t size) {
    while (size) {
        ssize_t sent = send(s->fd, from, size, MSG_NOSIGNAL);
        if (sent < 0) fail("the server closed a connection while it was written to, bytes left", (long)size, 0);
        from += sent;
        size -= sent;
    }
}

/* Take what the next request of a session is; return its kind, or 0 if the phase asks for no more of it. */
static int choose(Session *s, int number, long *index) {
    s->random ^= s->random << 13, s->random ^= s->random >> 7, s->random ^= s->random << 17;
    int kind = weights[0][0];
    if (weight_count > 1) {
        int draw = (int)((s->random >> 40) % weight_total), i = 0;
        while (draw >= weights[1][i]) draw -= weights[1][i++];
        kind = weights[0][i];
    }
    if (kind == DELETE && weight_count > 1 && s->deleted == s->created) kind = CREATE;
    if (kind == FILL || kind == CHECK) {
        *index = number + s->at * count;
        return *index < nodes ? (s->at++, kind) : 0;
    }
    if (kind == DELETE && s->deleted == s->created) return 0;
    *index = kind == CREATE ? s->created++ : kind == DELETE ? s->deleted++ : (long)((s->random >> 8) % nodes);
    return kind;
}

static void more(Session *s, int number) {
    unsigned char *at = output;
    long index;
    int first = s->xid_sent + 1, kind;
    while (s->outstanding < depth && (kind = choose(s, number, &index))) put_request(&at, s, number, kind, index, 0);
    uint64_t now = now_ns();
    for (int xid = first; xid <= s->xid_sent; xid++) s->sent_ns[xid % depth] = now;
    if (at > output) send_all(s, output, at - output);
}

/* Replies */

static void taken(Session *s, const unsigned char *frame, int size, uint64_t now) {
    if (!s->is_open) { /* the answer to the connect request */
        if (size < 36 || (!get_int(frame + 8) && !get_int(frame + 12))) fail("a session was refused, reply bytes", size, 37);
        s->is_open = 1;
        return;
    }
    if (size < 16) fail("a reply is too short, bytes", size, 16);
    int xid = get_int(frame), error = get_int(frame + 12);
    if (xid == -1) {
        s->notified++;
        return;
    }
    if (xid != s->xid_got + 1) fail("replies are out of order, xid", xid, s->xid_got + 1);
    int slot = xid % depth, kind = s->kinds[slot];
    long index = s->indexes[slot];
    if (error && !(kind == FILL && error == NODE_EXISTS)) fail("a request was refused, error", error, 0);
    s->xid_got = xid;
    s->outstanding--;
    s->got++;
    if (kind == GET_DATA || kind == CHECK) {
        int length = size >= 20 ? get_int(frame + 16) : -1;
        if (length != value_bytes || size != 20 + length + 68) fail("a value has the wrong length", length, value_bytes);
    }
    if (kind == CHECK) { /* FNV-1a of index and value, summed, so that the order is free */
        uint64_t hash = 14695981039346656037u ^ (uint64_t)index;
        for (int i = 0; i < value_bytes; i++) hash = (hash * 1099511628211u) ^ frame[20 + i];
        digest += hash * 1099511628211u;
        versions += get_int(frame + 20 + value_bytes + 32);
    }
    if (is_counting) {
        replies++;
        reply_bytes += size + 4;
        note(now - s->sent_ns[slot]);
    }
}

static void receive(Session *s) {
    ssize_t size = recv(s->fd, s->input + s->input_bytes, INPUT_BYTES - s->input_bytes, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (!size && !s->outstanding) { /* its session is closed */
        epoll_ctl(poller, EPOLL_CTL_DEL, s->fd, NULL);
        return;
    }
    if (size <= 0) fail("the server closed a connection with requests in flight", s->outstanding, 0);
    uint64_t now = now_ns();
    int at = 0, end = s->input_bytes + (int)size;
    while (end - at >= 4) {
        int length = get_int(s->input + at);
        if (length < 0 || length > INPUT_BYTES - 4) fail("a reply has an absurd length", length, 0);
        if (end - at - 4 < length) break;
        taken(s, s->input + at + 4, length, now);
        at += 4 + length;
    }
    s->input_bytes = end - at;
    memmove(s->input, s->input + at, s->input_bytes);
}

/* Sessions */

static void start_session(Session *s, int number) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / SESSIONS_PER_ADDRESS)};
    int on = 1;
    memset(s, 0, sizeof *s);
    s->input = malloc(INPUT_BYTES);
    s->sent_ns = calloc(depth, sizeof *s->sent_ns);
    s->kinds = calloc(depth, sizeof *s->kinds);
    s->indexes = calloc(depth, sizeof *s->indexes);
    s->random = 88172645463325252u + 7919u * number;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&own, sizeof own)) fail("cannot take an address of the loopback", number, 0);
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address)) fail("cannot connect to port", port, port);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    unsigned char hello[49] = {0}, *at = hello;
    put_int(&at, 45);
    at += 12;
    put_int(&at, 40000); /* milliseconds, the session's timeout */
    at += 8;
    put_int(&at, 16);
    send_all(s, hello, sizeof hello);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &event)) fail("epoll_ctl", -1, 0);
}

static void await_events(void) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poller, events, EVENTS, 10000);
    if (ready <= 0) fail("nothing came for 10 s, events", ready, 1);
    for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
}

static double open_sessions(void) {
    uint64_t begin = now_ns();
    for (int opened = 0, done = 0; done < count;) {
        while (opened < count && opened - done < HANDSHAKES_MAX) {
            start_session(&sessions[opened], opened);
            opened++;
        }
        await_events();
        while (done < opened && sessions[done].is_open) done++;
    }
    return (now_ns() - begin) / 1e9;
}

/* Ask one thing on a session, outside of all counting. */
static void ask(Session *s, int number, int kind, long index, int watch) {
    unsigned char *at = output;
    put_request(&at, s, number, kind, index, watch);
    send_all(s, output, at - output);
}

/* Phases */

static void run_close(void) {
    uint64_t begin = now_ns();
    for (int asked = 0, done = 0; done < count;) {
        while (asked < count && asked - done < HANDSHAKES_MAX) ask(&sessions[asked], asked, CLOSE_SESSION, 0, 0), asked++;
        await_events();
        while (done < asked && !sessions[done].outstanding) close(sessions[done++].fd);
    }
    double seconds = (now_ns() - begin) / 1e9;
    printf("{\"phase\": \"close\", \"count\": %d, \"seconds\": %.6f, \"per_second\": %.1f}\n", count, seconds, count / seconds);
}

static void run_watch(void) {
    start_session(&writer, count);
    while (!writer.is_open) await_events();
    printf("{\"phase\": \"watch\", \"count\": %ld, \"ms\": [", (long)count * depth);
    for (int round = 0; round < WATCH_ROUNDS; round++) {
        for (int i = 0; i < count; i++) {
            sessions[i].notified = 0;
            for (int k = 0; k < depth; k++) ask(&sessions[i], i, GET_DATA, k, 1);
            if (i % HANDSHAKES_MAX == 0) while (sessions[i].outstanding) await_events();
        }
        for (int i = 0; i < count; i++) while (sessions[i].outstanding) await_events();
        unsigned char *at = output;
        for (int k = 0; k < depth; k++) put_request(&at, &writer, 0, SET_DATA, k, 0);
        uint64_t begin = now_ns();
        send_all(&writer, output, at - output);
        for (int i = 0; i < count; i++) while (sessions[i].notified < depth) await_events();
        printf("%s%.3f", round ? ", " : "", (now_ns() - begin) / 1e6);
        while (writer.outstanding) await_events();
    }
    printf("], \"writes\": %d}\n", WATCH_ROUNDS * depth);
}

static int is_over(uint64_t deadline) {
    if (!until_eof) return now_ns() >= deadline;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

static int parse_mix(char *phase) {
    static const struct { const char *name; int kind; } names[] = {
        {"getData", GET_DATA}, {"setData", SET_DATA}, {"create", CREATE}, {"exists", EXISTS}, {"delete", DELETE},
        {"getChildren", GET_CHILDREN}, {"fill", FILL}, {"check", CHECK}};
    weight_total = weight_count = 0;
    for (char *rest = phase, *part; (part = strsep(&rest, "+")) && weight_count < 8;) {
        char *weight = strchr(part, ':');
        if (weight) *weight++ = 0;
        int i = 7;
        while (i >= 0 && strcmp(names[i].name, part)) i--;
        if (i < 0) return 0;
        weights[0][weight_count] = names[i].kind;
        weight_total += weights[1][weight_count++] = weight ? atoi(weight) : 1;
    }
    return 1;
}

/* Return the seconds of processor time that the server has taken so far. */
static double server_cpu(void) {
    char name[64], text[1024], *at;
    unsigned long user = 0, system = 0;
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *file = pid ? fopen(name, "r") : NULL;
    if (!file) return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    at = strrchr(text, ')'); /* the program's name may hold anything */
    if (at) sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

static void run_phase(const char *name, char *mix) {
    if (!parse_mix(mix)) fail("there is no such phase, its name has letters", (long)strlen(name), 0);
    int kind = weights[0][0], is_whole = weight_count == 1 && (kind == FILL || kind == CHECK || kind == DELETE), idle = 0;
    memset(buckets, 0, sizeof buckets);
    replies = versions = 0, digest = reply_bytes = max_ns = 0;
    if (kind == FILL) {
        ask(&sessions[0], 0, FILL, -1, 0);
        while (sessions[0].outstanding) await_events();
    }
    for (int i = 0; i < count; i++) sessions[i].at = 0;
    double cpu = server_cpu();
    uint64_t begin = now_ns(), deadline = begin + (uint64_t)(seconds_max * 1e9), last = begin;
    is_counting = 1;
    for (int i = 0; i < count; i++) more(&sessions[i], i);
    for (int i = 0; i < count; i++) idle += !sessions[i].outstanding;
    while (is_whole ? idle < count : !is_over(deadline)) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, 10000);
        if (ready <= 0) fail("nothing came for 10 s, events", ready, 1);
        for (int i = 0; i < ready; i++) {
            Session *s = events[i].data.ptr;
            int was_busy = s->outstanding > 0;
            receive(s);
            if (s->outstanding < depth) more(s, (int)(s - sessions));
            idle += was_busy && !s->outstanding;
        }
    }
    last = now_ns();
    cpu = server_cpu() - cpu;
    is_counting = 0;
    long counted = replies, after = 0;
    for (int i = 0; i < count; i++) after -= sessions[i].got;
    for (int i = 0; i < count; i++) while (sessions[i].outstanding) await_events();
    for (int i = 0; i < count; i++) after += sessions[i].got;
    double seconds = (last - begin) / 1e9;
    printf("{\"phase\": \"%s\", \"count\": %ld, \"seconds\": %.6f, \"per_second\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
           "\"max_us\": %.2f, \"reply_bytes\": %llu, \"after\": %ld", name, counted, seconds, counted / seconds,
           quantile_us(0.5), quantile_us(0.99), max_ns / 1e3, (unsigned long long)reply_bytes, after);
    if (pid && counted) printf(", \"cpu_us\": %.3f", cpu * 1e6 / counted);
    if (kind == CHECK) printf(", \"digest\": \"%016llx\", \"versions\": %ld", (unsigned long long)digest, versions);
    printf("}\n");
}

int main(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "c:d:s:n:b:p:e")) != -1) {
        if (option == 'c') count = atoi(optarg);
        else if (option == 'd') depth = atoi(optarg);
        else if (option == 's') seconds_max = atof(optarg);
        else if (option == 'n') nodes = atol(optarg);
        else if (option == 'b') value_bytes = atoi(optarg);
        else if (option == 'p') pid = atoi(optarg);
        else if (option == 'e') until_eof = 1;
        else return 2;
    }
    if (optind + 1 >= argc || count < 1 || depth < 1 || nodes < 1 || value_bytes < 0) {
        fprintf(stderr, "zkload PORT [-c sessions] [-d in flight] [-s seconds] [-n znodes] [-b bytes] [-p pid] [-e] PHASE...\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    port = atoi(argv[optind]);
    poller = epoll_create1(0);
    output = malloc((size_t)depth * (value_bytes + 128));
    sessions = calloc(count, sizeof *sessions);
    setvbuf(stdout, NULL, _IOLBF, 0);
    double seconds = open_sessions();
    printf("{\"phase\": \"open\", \"count\": %d, \"seconds\": %.6f, \"per_second\": %.1f}\n", count, seconds, count / seconds);
    for (int i = optind + 1; i < argc; i++) {
        char mix[256];
        snprintf(mix, sizeof mix, "%s", argv[i]);
        if (!strcmp(mix, "watch")) run_watch();
        else if (!strcmp(mix, "close")) run_close();
        else run_phase(argv[i], mix);
    }
    return 0;
}

/*
 * The part of lighttpd2 2.0.0's module ABI that this module and the tests' stand-in for lighttpd2 use, for 64-bit targets.
 *
 * lighttpd2 installs no headers, so these declarations stand in for them. Members keep lighttpd2's names; what neither of
 * the two looks into is an `opaque_*` member of the right size, so that offsets and sizes are lighttpd2's. `tests/abi.rs`
 * compares every size, constant and function, and every other member, with the real headers where those are at hand.
 */
#ifndef LIGHTTPD2_MODULE_H
#define LIGHTTPD2_MODULE_H

/* C and glib */

typedef __SIZE_TYPE__ size_t;
typedef char gchar;
typedef int gint;
typedef int gboolean;
typedef unsigned char guint8;
typedef unsigned int guint;
typedef unsigned int guint32;
typedef long gint64;
typedef unsigned long guint64;
typedef long goffset;
typedef unsigned long gsize;
typedef long gssize;
typedef double gdouble;
typedef void *gpointer;

typedef struct _GString {
	gchar *str; /* NUL-terminated, and may hold other NULs before that */
	gsize len;  /* bytes, without the NUL at the end */
	gsize allocated_len;
} GString;

typedef struct _GArray {
	gchar *data;
	guint len; /* elements */
} GArray;

typedef struct _GPtrArray {
	gpointer *pdata;
	guint len; /* elements */
} GPtrArray;

/* configuration values */

typedef enum {
	LI_VALUE_NONE,
	LI_VALUE_BOOLEAN,
	LI_VALUE_NUMBER,
	LI_VALUE_STRING,
	LI_VALUE_LIST,
	LI_VALUE_ACTION,
	LI_VALUE_CONDITION
} liValueType;

typedef struct liValue {
	liValueType type;
	union {
		gboolean boolean;
		gint64 number;
		GString *string;
		GPtrArray *list; /* of liValue* */
		gpointer opaque_pair[2];
	} data;
} liValue;

typedef union liOptionValue {
	gint64 number;
	gboolean boolean;
} liOptionValue;

typedef struct liOptionPtrValue {
	gint opaque_refcount;
	union {
		gpointer ptr;
	} data;
	gpointer opaque_sopt;
} liOptionPtrValue;

/* server, worker */

#define LIGHTTPD_SERVER_MAGIC ((guint)0x12AB34CD)

typedef struct liServer {
	guint32 magic;
	char opaque_state[228];
	struct liWorker *main_worker;
	guint worker_count;
	GArray *workers; /* of liWorker*; has its final length when handle_prepare runs */
	char opaque_rest[1352];
} liServer;

typedef double ev_tstamp;
typedef ev_tstamp li_tstamp; /* seconds since 1970 */

typedef struct liJob liJob;
typedef struct liJobRef liJobRef;
typedef void (*liJobCB)(liJob *job);

/* Something to be done by a worker as soon as it gets to it, however often that is asked for before. */
struct liJob {
	guint opaque_generation;
	gpointer opaque_link[3];
	liJobCB opaque_callback;
	liJobRef *opaque_ref;
};

typedef struct liJobQueue {
	gpointer opaque_members[38];
} liJobQueue;

typedef struct liEventLoop {
	gpointer opaque_loop;
	liJobQueue jobqueue;
	gpointer opaque_rest[7];
} liEventLoop;

typedef struct liWorker {
	liServer *srv;
	gpointer opaque_thread;
	guint ndx; /* its place in liServer.workers */
	char opaque_lua[84];
	liEventLoop loop;
	char opaque_logs[480];
	GString *tmp_str; /* for whatever is needed until the function that uses it returns */
	char opaque_rest[952];
} liWorker;

/* timers; each belongs to the worker whose loop it was made for */

typedef struct liEventBase {
	int opaque_type;
	unsigned int keep_loop_alive : 1, active : 1;
	gpointer opaque_rest[5];
} liEventBase;

typedef struct liEventTimer {
	liEventBase base;
	gpointer opaque_libev[6];
} liEventTimer;

/* descriptors that are waited for */

enum {
	LI_EV_READ = 0x01,
	LI_EV_WRITE = 0x02
};

typedef void (*liEventCallback)(liEventBase *watcher, int events);

typedef struct liEventIO {
	liEventBase base;
	int opaque_events;
	gpointer opaque_libev[6];
} liEventIO;

typedef struct liWaitQueue liWaitQueue;
typedef struct liWaitQueueElem liWaitQueueElem;
typedef void (*liWaitQueueCB)(liWaitQueue *wq, gpointer data);

struct liWaitQueueElem {
	gboolean queued;
	li_tstamp ts;
	liWaitQueueElem *prev, *next;
	gpointer data;
};

struct liWaitQueue {
	liWaitQueueElem *head, *tail;
	liEventTimer timer;
	gdouble delay; /* seconds */
	liWaitQueueCB callback;
	gpointer data;
	guint length;
};

/* chunk queues and streams; byte counts only ever grow while a request lives */

typedef struct liChunkQueue {
	gboolean is_closed;
	goffset bytes_in, bytes_out, length;
	char opaque_rest[40];
} liChunkQueue;

typedef struct liStream liStream;

typedef enum {
	LI_STREAM_NEW_DATA,
	LI_STREAM_NEW_CQLIMIT,
	LI_STREAM_CONNECTED_DEST,
	LI_STREAM_CONNECTED_SOURCE,
	LI_STREAM_DISCONNECTED_DEST,
	LI_STREAM_DISCONNECTED_SOURCE,
	LI_STREAM_DESTROY
} liStreamEvent;

typedef void (*liStreamCB)(liStream *stream, liStreamEvent event);

struct liStream {
	gint opaque_refcount;
	liStream *source; /* NULL where nothing feeds it, or no more */
	liStream *opaque_dest;
	liChunkQueue *out;
	char opaque_job[56];
	liStreamCB cb; /* looked up anew for each event */
};

/* request */

typedef enum {
	LI_HTTP_METHOD_UNSET = -1,
	LI_HTTP_METHOD_GET,
	LI_HTTP_METHOD_POST,
	LI_HTTP_METHOD_HEAD,
	LI_HTTP_METHOD_OPTIONS,
	LI_HTTP_METHOD_PROPFIND,
	LI_HTTP_METHOD_MKCOL,
	LI_HTTP_METHOD_PUT,
	LI_HTTP_METHOD_DELETE,
	LI_HTTP_METHOD_COPY,
	LI_HTTP_METHOD_MOVE,
	LI_HTTP_METHOD_PROPPATCH,
	LI_HTTP_METHOD_REPORT,
	LI_HTTP_METHOD_CHECKOUT,
	LI_HTTP_METHOD_CHECKIN,
	LI_HTTP_METHOD_VERSION_CONTROL,
	LI_HTTP_METHOD_UNCHECKOUT,
	LI_HTTP_METHOD_MKACTIVITY,
	LI_HTTP_METHOD_MERGE,
	LI_HTTP_METHOD_LOCK,
	LI_HTTP_METHOD_UNLOCK,
	LI_HTTP_METHOD_LABEL,
	LI_HTTP_METHOD_CONNECT
} liHttpMethod;

typedef enum {
	LI_HANDLER_GO_ON,
	LI_HANDLER_COMEBACK,
	LI_HANDLER_WAIT_FOR_EVENT,
	LI_HANDLER_ERROR
} liHandlerResult;

typedef struct liHttpHeaders liHttpHeaders;

typedef struct liHttpHeader {
	guint keylen;
	GString *data; /* the key, a colon and a space, the value */
} liHttpHeader;

typedef struct liRequestUri {
	char opaque_head[40];
	GString *path;  /* decoded */
	GString *query; /* as it came, without the question mark */
	GString *host;  /* without a port */
} liRequestUri;

typedef struct liRequest {
	liHttpMethod http_method;
	GString *http_method_str;
	char opaque_version[8];
	liRequestUri uri;
	liHttpHeaders *headers;
	goffset content_length; /* bytes; -1 while a chunked body is arriving */
} liRequest;

typedef struct liResponse {
	liHttpHeaders *headers;
	gint http_status;
	gint opaque_transfer_encoding;
} liResponse;

typedef struct liLogMap liLogMap;

typedef struct liLogContext {
	liLogMap *log_map;
} liLogContext;

typedef struct liConInfo {
	char opaque_head[40];
	GString *remote_addr_str; /* the client's address, without a port */
	char opaque_local_addr[12];
	gboolean keep_alive; /* whether another request can come on the connection; until the response begins it may become FALSE */
	gboolean aborted;
	char opaque_proxy_protocol[60];
	liStream *req;
	liStream *resp;
	char opaque_out_queue_length[8];
	struct {
		guint64 bytes_in;  /* from the socket, for this request */
		guint64 bytes_out; /* into the socket, for this request */
		char opaque_averages[40];
	} stats;
} liConInfo;

typedef struct _GMatchInfo GMatchInfo;

typedef struct liActionRegexStackElement {
	GString *opaque_string;
	GMatchInfo *match_info;
} liActionRegexStackElement;

typedef struct liActionStack {
	GArray *opaque_stack;
	GArray *regex_stack; /* of liActionRegexStackElement: the matches of the conditions that it is in, the innermost last */
	char opaque_backends[24];
} liActionStack;

typedef struct liEnvironment {
	void *opaque_table;
} liEnvironment; /* what access logs, backends and patterns can have of a request; emptied for each */

typedef enum {
	LI_VRS_CLEAN,
	LI_VRS_HANDLE_REQUEST_HEADERS,
	LI_VRS_READ_CONTENT,
	LI_VRS_HANDLE_RESPONSE_HEADERS,
	LI_VRS_WRITE_CONTENT,
	LI_VRS_ERROR
} liVRequestState;

typedef struct liVRequest {
	liConInfo *coninfo;
	liWorker *wrk;
	liOptionValue *options;
	liOptionPtrValue **optionptrs; /* NULL for an option without a value */
	liLogContext log_context;
	liVRequestState state;
	char opaque_started[12];
	GPtrArray *plugin_ctx; /* a slot for each plugin, zeroed for each request */
	liRequest request;
	char opaque_physical[24];
	liResponse response;
	liEnvironment env;
	char opaque_streams[88];
	liChunkQueue *direct_out; /* set by li_vrequest_handle_direct */
	liActionStack action_stack;
	char opaque_rest[56];
} liVRequest;

typedef enum {
	LI_CON_STATE_DEAD,
	LI_CON_STATE_CLOSE,
	LI_CON_STATE_KEEP_ALIVE,
	LI_CON_STATE_REQUEST_START,
	LI_CON_STATE_READ_REQUEST_HEADER,
	LI_CON_STATE_HANDLE_MAINVR,
	LI_CON_STATE_WRITE,
	LI_CON_STATE_UPGRADED
} liConnectionState;

typedef struct liConnection {
	char opaque_head[64];
	liConInfo info;
	liConnectionState state;
	gboolean response_headers_sent;
	gboolean opaque_expect_100_cont;
	gboolean out_has_all_data; /* the response has come to its end, though perhaps not to the client */
	liStream opaque_in;
	liStream out; /* fed by the response's last filter from when its headers are ready until it has come to its end */
	char opaque_filters[120];
	liVRequest *mainvr;
	char opaque_keep_alive[240];
	liWaitQueueElem io_timeout_elem; /* queued while a timeout of I/O would end the connection */
	char opaque_job_reset[48];
} liConnection;

/* plugins */

typedef struct liAction liAction;
typedef struct liPlugin liPlugin;

typedef void (*liPluginInitCB)(liServer *srv, liPlugin *p, gpointer userdata);
typedef void (*liPluginFreeCB)(liServer *srv, liPlugin *p);
typedef gboolean (*liPluginParseOptionCB)(liServer *srv, liWorker *wrk, liPlugin *p, size_t ndx, liValue *val, liOptionValue *oval);
typedef gboolean (*liPluginParseOptionPtrCB)(liServer *srv, liWorker *wrk, liPlugin *p, size_t ndx, liValue *val, gpointer *oval);
typedef void (*liPluginFreeOptionPtrCB)(liServer *srv, liPlugin *p, size_t ndx, gpointer oval);
typedef liAction *(*liPluginCreateActionCB)(liServer *srv, liWorker *wrk, liPlugin *p, liValue *val, gpointer userdata);
typedef gboolean (*liPluginSetupCB)(liServer *srv, liPlugin *p, liValue *val, gpointer userdata);
typedef void (*liPluginServerStateWorker)(liServer *srv, liPlugin *p, liWorker *wrk);
typedef void (*liPluginServerState)(liServer *srv, liPlugin *p);
typedef void (*liPluginHandleCloseCB)(liConnection *con, liPlugin *p);
typedef liHandlerResult (*liPluginHandleVRequestCB)(liVRequest *vr, liPlugin *p);
typedef void (*liPluginHandleVRCloseCB)(liVRequest *vr, liPlugin *p);

typedef struct liPluginOption {
	const gchar *name;
	liValueType type;
	gint64 default_value;
	liPluginParseOptionCB parse_option;
} liPluginOption;

typedef struct liPluginOptionPtr {
	const gchar *name;
	liValueType type;
	gpointer default_value;
	liPluginParseOptionPtrCB parse_option;
	liPluginFreeOptionPtrCB free_option;
} liPluginOptionPtr;

typedef struct liPluginAction {
	const gchar *name;
	liPluginCreateActionCB create_action;
	gpointer userdata;
} liPluginAction;

typedef struct liPluginSetup {
	const gchar *name;
	liPluginSetupCB setup;
	gpointer userdata;
} liPluginSetup;

struct liPlugin {
	size_t version;
	const gchar *name;
	guint id; /* its place in liVRequest.plugin_ctx */
	gpointer data;
	size_t opt_base_index; /* the place of its first option in liVRequest.options */
	size_t optptr_base_index;
	liPluginFreeCB free;
	liPluginHandleVRequestCB handle_request_body;
	liPluginHandleCloseCB handle_close;
	liPluginHandleVRCloseCB handle_vrclose;
	liPluginServerStateWorker handle_prepare_worker;
	liPluginServerStateWorker handle_worker_stop;
	liPluginServerState handle_prepare;
	liPluginServerState opaque_start_listen;
	liPluginServerState handle_stop_listen; /* on the main thread, when the server begins to stop */
	char opaque_state_callbacks[24];
	const liPluginOption *options;
	const liPluginOptionPtr *optionptrs;
	const liPluginAction *actions;
	const liPluginSetup *setups;
	const void *angelcbs;
};

/* Each of these returns at once; all but li_log_write belong to the thread of the object they are given. */

liPlugin *li_plugin_register(liServer *srv, const gchar *name, liPluginInitCB init, gpointer userdata);
void li_plugin_free(liServer *srv, liPlugin *p);

typedef liHandlerResult (*liActionFuncCB)(liVRequest *vr, gpointer param, gpointer *context);
typedef liHandlerResult (*liActionCleanupCB)(liVRequest *vr, gpointer param, gpointer context);
typedef void (*liActionFreeCB)(liServer *srv, gpointer param);
liAction *li_action_new_function(liActionFuncCB func, liActionCleanupCB fcleanup, liActionFreeCB ffree, gpointer param);

liHttpMethod li_http_method_from_string(const gchar *method_str, gssize len);
gchar *li_http_method_string(liHttpMethod method, guint *len); /* a constant */
const char *li_valuetype_string(liValueType type);

liHttpHeader *li_http_header_lookup(liHttpHeaders *headers, const gchar *key, size_t keylen);
void li_http_header_append(liHttpHeaders *headers, const gchar *key, size_t keylen, const gchar *val, size_t valuelen);
void li_environment_set(liEnvironment *env, const gchar *key, size_t keylen, const gchar *val, size_t valuelen); /* copies both */
void li_http_header_overwrite(liHttpHeaders *headers, const gchar *key, size_t keylen, const gchar *val, size_t valuelen);

/* li_pattern_new returns NULL, and logs why, where the string is no pattern. li_pattern_eval appends to `dest`. */
typedef GArray liPattern;
typedef void (*liPatternCB)(GString *pattern_result, guint from, guint to, gpointer data);
liPattern *li_pattern_new(liServer *srv, const gchar *str);
void li_pattern_free(liPattern *pattern);
void li_pattern_eval(liVRequest *vr, GString *dest, liPattern *pattern, liPatternCB nth_callback, gpointer nth_data, liPatternCB nth_prev_callback, gpointer nth_prev_data);
void li_pattern_regex_cb(GString *pattern_result, guint from, guint to, gpointer data); /* `data` is a GMatchInfo or NULL */

liConnection *li_connection_from_vrequest(liVRequest *vr); /* NULL for one that Lua runs inside of another */
gboolean li_vrequest_is_handled(liVRequest *vr);
gboolean li_vrequest_handle_direct(liVRequest *vr);

/*
 * A response over time: li_vrequest_handle_indirect returns FALSE where the request is handled already. Then come a stream that
 * takes the request's body and one that gives the response's, of which lighttpd2 keeps references of its own, and, once status
 * and headers are set, li_vrequest_indirect_headers_ready.
 */
gboolean li_vrequest_handle_indirect(liVRequest *vr, liPlugin *p);
void li_vrequest_indirect_connect(liVRequest *vr, liStream *backend_drain, liStream *backend_source);
void li_vrequest_indirect_headers_ready(liVRequest *vr);

void li_vrequest_joblist_append(liVRequest *vr); /* the action that it waits in is performed again */

/* A new stream has one reference. Its callback gets LI_STREAM_DESTROY, with `out` gone, when the last one is released. */
void li_stream_init(liStream *stream, liEventLoop *loop, liStreamCB cb);
void li_stream_release(liStream *stream);
liStream *li_stream_null_new(liEventLoop *loop);
void li_stream_notify_later(liStream *stream);            /* there is more in `out`, or its end */
void li_stream_disconnect_dest(liStream *stream);
gboolean li_streams_empty(liStream *first, liStream *last); /* whether nothing waits in `first` and all that follow it, up to `last` or NULL */

/* li_job_ref belongs to the queue's thread; li_job_async can be called by any thread while the queue is there. */
void li_job_init(liJob *job, liJobCB callback);
void li_job_clear(liJob *job);
liJobRef *li_job_ref(liJobQueue *jq, liJob *job);
void li_job_ref_release(liJobRef *jobref);
void li_job_async(liJobRef *jobref);

/* The bytes are copied. */
void li_chunkqueue_append_mem(liChunkQueue *cq, const void *mem, gssize len);

/* Bytes with a count of who has them. A new buffer has room for `max_size`, and one reference; the queue takes one over. */
typedef struct liBuffer liBuffer;
struct liBuffer {
	gchar *addr;
	gsize alloc_size;
	gsize used;
	gint opaque_refcount;
	gpointer opaque_mptr[2];
};
liBuffer *li_buffer_new_slice(gsize max_size);
void li_buffer_acquire(liBuffer *buf);
void li_buffer_release(liBuffer *buf);
void li_chunkqueue_append_buffer(liChunkQueue *cq, liBuffer *buffer);

/* A timer's callback has to end with li_waitqueue_update. li_waitqueue_stop detaches the timer from its loop. */
void li_waitqueue_init(liWaitQueue *queue, liEventLoop *loop, const char *waitqueue_name, liWaitQueueCB callback, gdouble delay, gpointer data);
void li_waitqueue_stop(liWaitQueue *queue);
void li_waitqueue_update(liWaitQueue *queue);
void li_waitqueue_push(liWaitQueue *queue, liWaitQueueElem *elem);
liWaitQueueElem *li_waitqueue_pop(liWaitQueue *queue);

/*
 * A descriptor that a loop waits for, once it is active and has one; without one (-1) it is not active any more. It keeps
 * the loop alive meanwhile.
 */
void li_event_io_init(liEventLoop *loop, const char *event_name, liEventIO *io, liEventCallback callback, int fd, int events);
void li_event_io_set_fd(liEventIO *io, int fd);
void li_event_io_set_events(liEventIO *io, int events);

typedef enum {
	LI_LOG_LEVEL_DEBUG,
	LI_LOG_LEVEL_INFO,
	LI_LOG_LEVEL_WARNING,
	LI_LOG_LEVEL_ERROR,
	LI_LOG_LEVEL_ABORT,
	LI_LOG_LEVEL_BACKEND
} liLogLevel;

#define LI_LOG_FLAG_TIMESTAMP (0x1)

gboolean li_log_write(liServer *srv, liWorker *wrk, liLogContext *context, liLogLevel log_level, guint flags, const gchar *fmt, ...);

/* modules */

#define MODULE_VERSION ((guint)0x00000001)

typedef struct liModules {
	guint version;
	gpointer main; /* the liServer */
	GArray *opaque_mods;
	gchar *opaque_module_dir;
	gboolean opaque_module_resident;
	guint8 sizeof_off_t;
} liModules;

typedef struct liModule {
	gint opaque_refcount;
	GString *name;
	gpointer opaque_module;
	gchar *opaque_path;
	gpointer config;
	gpointer opaque_free;
} liModule;

#endif

"""The table of settings, section by section.

The rule here: code reads a limit, a cache directory, a token or a pace from a field below, and a
new one is a new field. Units stand last in names; None means "not set".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batonics.model.secret import Secret
from batonics.settings.definition import Setting, flatten, read_table, setting

MIB = 1 << 20


@dataclass(frozen=True, repr=False)
class CacheSettings:
    """What is kept on this machine to be used again."""

    directory: str | None = setting(
        "Directory of copies of parts from buckets, each verified before it is read. Not set:"
        " batonics below XDG_CACHE_HOME or ~/.cache.",
        default=None,
        variables=("BATONICS_CACHE_DIR",),
        is_trusted=True,  # files that are no longer needed are removed from it
    )
    kernel_directory: str | None = setting(
        "Directory of compiled kernels. They are code that runs as you: the directory is used only"
        " if you or root own it, and no other user can write to it or to a directory above it. Not"
        " set: beside the package where possible, else batonics/kernels below XDG_CACHE_HOME or"
        " ~/.cache.",
        default=None,
        variables=("BATONICS_KERNEL_DIR",),
        is_trusted=True,  # code is loaded from it
    )


@dataclass(frozen=True, repr=False)
class InputSettings:
    """Files and streams of records."""

    metadata_bytes_max: int = setting(
        "Size of the metadata of a pipe, a feed or a compressed file, in bytes. In a plain file it"
        " may be as long as the file.",
        default=64 * MIB,
        minimum=1 << 10,
    )
    ts_recv_backwards_s: float = setting(
        "Seconds that ts_recv may fall back within a stream before the record counts as an anomaly"
        " of its book.",
        default=1.0,
        minimum=0,
    )

    @property
    def ts_recv_backwards_ns(self) -> int:
        """`ts_recv_backwards_s` in nanoseconds."""
        return round(self.ts_recv_backwards_s * 1_000_000_000)


@dataclass(frozen=True, repr=False)
class LogSettings:
    """What is written on standard error."""

    json: bool | None = setting(
        "Logs are lines of JSON. Not set: they are, unless standard error is a terminal.",
        default=None,
    )
    tracebacks: bool = setting(
        "A bug ends with its traceback, not with one line.",
        default=False,
        variables=("BATONICS_DEBUG",),
    )


@dataclass(frozen=True, repr=False)
class LakeSettings:
    """Lakes, and the servers of buckets."""

    path: str | None = setting(
        "The lake's directory, or s3://BUCKET/PREFIX.", default=None, variables=("BATONICS_LAKE",)
    )
    schemas: tuple[str, ...] = setting(
        "Schemas that a load or a live feed derives.", default=("mbp-10", "trades", "bbo-1s")
    )
    commit_interval_s: float = setting(
        "Seconds between two commits of a stream or a live feed.", default=60.0, minimum=0.001
    )
    endpoint_url: str | None = setting(
        "URL of the S3 server: http://HOST or https://HOST. Not set: Amazon's.",
        default=None,
        variables=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
        is_trusted=True,  # requests that are signed with the user's key go there
    )
    retries_max: int = setting(
        "Retries of a request that an S3 server fails or does not answer.", default=5, minimum=0
    )
    read_timeout_s: float = setting(
        "Seconds without a byte after which a request to an S3 server fails.",
        default=60.0,
        minimum=0.1,
    )


@dataclass(frozen=True, repr=False)
class LiveSettings:
    """Following a live feed."""

    depth: int = setting(
        "Levels of each side that are published.", default=10, minimum=1, maximum=1_000
    )
    idle_timeout_s: float | None = setting(
        "Seconds without a byte after which a plain feed's connection is closed and made anew."
        " Not set: never.",
        default=None,
        minimum=0.1,
    )
    gateway_key: Secret | None = setting(
        "Key for the vendor's gateway.",
        default=None,
        variables=("BATONICS_GATEWAY_KEY", "DATABENTO_API_KEY"),
    )
    gateway_heartbeat_interval_s: int = setting(
        "Seconds of silence after which the gateway sends a heartbeat.", default=10, minimum=5
    )
    realtime: bool = setting(
        "Ingest runs before all other work of the machine (SCHED_FIFO).", default=False
    )
    connect_timeout_s: float = setting(
        "Seconds within which a connection to a feed is made.", default=10.0, minimum=0.1
    )
    reconnect_wait_s: float = setting(
        "Seconds before the first reconnect; each further wait doubles.", default=0.1, minimum=0.001
    )
    reconnect_wait_s_max: float = setting(
        "The longest wait before a reconnect, in seconds.", default=10.0, minimum=0.001
    )
    stall_timeout_s: float | None = setting(
        "Seconds without a byte after which a plain feed is `stalled`. Not set: three times its own"
        " longest pause of late, from 10 seconds to an hour.",
        default=None,
        minimum=0.1,
    )
    drain_s: float = setting(
        "Seconds for which bytes that have arrived are still read at the end.",
        default=0.5,
        minimum=0,
    )
    stats_interval_s: float = setting(
        "Seconds between two reports of counts to the serving process.", default=0.25, minimum=0.01
    )
    server_restart_interval_s: float = setting(
        "Seconds between two attempts to start a serving process that died.",
        default=2.0,
        minimum=0.1,
    )
    recording_file_bytes_max: int = setting(
        "Size of one file of a recording, in bytes.", default=256 * MIB, minimum=1 << 16
    )
    recording_sync_interval_s: float = setting(
        "Seconds between two syncs of a recording to disk.", default=0.2, minimum=0.001
    )
    checkpoint_interval_s: float = setting(
        "Seconds between two checkpoints of a recording.", default=30.0, minimum=0.001
    )
    snapshot_file_interval_s: float = setting(
        "Seconds of snapshots in one Parquet file.", default=60.0, minimum=0.1
    )
    snapshot_file_rows_max: int = setting(
        "Rows of snapshots in one Parquet file.", default=1 << 18, minimum=1
    )
    log_bytes: int = setting(
        "Shared memory for records that the serving process has not read yet, in bytes; 2 MiB at"
        " least.",
        default=64 * MIB,
        minimum=1,
    )
    lake_queue_bytes_max: int = setting(
        "Bytes of records that may wait for a lake; beyond, appending stops.",
        default=256 * MIB,
        minimum=1,
    )
    lake_close_timeout_s: float = setting(
        "Seconds for the last commit to a lake.", default=300.0, minimum=1
    )


@dataclass(frozen=True, repr=False)
class ReplaySettings:
    """Serving files as a live feed."""

    gateway_key: Secret | None = setting(
        "The only key that the replay's gateway accepts. Not set: it accepts any well-formed one.",
        default=None,
        variables=("BATONICS_GATEWAY_KEY",),
    )
    login_timeout_s: float = setting(
        "Seconds for a client of the gateway to log in.", default=30.0, minimum=0.1
    )
    start_timeout_s: float = setting(
        "Seconds for a client of the gateway, once logged in, to subscribe and to start.",
        default=300.0,
        minimum=0.1,
    )
    login_bytes_max: int = setting(
        "Size of all lines of a client of the gateway, subscriptions included, in bytes.",
        default=MIB,
        minimum=1 << 10,
    )
    clients_max: int = setting(
        "Clients at a time, as far as the limit of open files permits.", default=512, minimum=1
    )
    clients_per_address_max: int = setting(
        "Clients of one IP address at a time.", default=256, minimum=1
    )
    refusal_log_interval_s: float = setting(
        "Seconds between two log lines on refused clients of one kind.", default=60.0, minimum=0
    )
    subscriptions_max: int = setting(
        "Subscription lines of one session.", default=10_000, minimum=1
    )
    send_buffer_bytes: int = setting(
        "The kernel's send buffer of each client, in bytes.", default=4 * MIB, minimum=1 << 12
    )
    close_timeout_s: float = setting(
        "Seconds for a client to read all that was sent, at the end.", default=10.0, minimum=0
    )
    slow_reader_s: float = setting(
        "Seconds by which a client of the gateway may be behind the pace. A slower one is warned if"
        " its session has MBO, and else misses records. 0: it is waited for.",
        default=0.0,
        minimum=0,
    )


@dataclass(frozen=True, repr=False)
class ServerLimits:
    """What clients may take of the HTTP and WebSocket server."""

    clients_max: int = setting("WebSocket clients.", default=1024, minimum=1)
    clients_per_address_max: int = setting(
        "WebSocket clients of one IP address.", default=512, minimum=1
    )
    connections_max: int = setting("Open TCP connections.", default=2048, minimum=1)
    connections_per_address_max: int = setting(
        "Open TCP connections of one IP address.", default=1024, minimum=1
    )
    subscriptions_max: int = setting(
        "Subscriptions of one WebSocket client: books, each channel counted.",
        default=256,
        minimum=1,
    )
    symbols_max: int = setting(
        "Symbols in one message of a WebSocket client.", default=500, minimum=1
    )
    message_bytes_max: int = setting(
        "Size of a message of a WebSocket client, in bytes.", default=65_536, minimum=64
    )
    replies_max: int = setting(
        "Replies and errors that may wait for one WebSocket client.", default=64, minimum=1
    )
    pending_queries_max: int = setting(
        "Queries to ingest that may wait for their answer.", default=64, minimum=1
    )
    send_buffer_bytes: int = setting(
        "The kernel's send buffer of each connection, in bytes.", default=1 << 17, minimum=1 << 12
    )
    request_units_per_s: float = setting(
        "Units of requests of one IP address a second; a request or a message of a WebSocket client"
        " has 1, one that takes longer has more. Beyond, the response is 429, and messages wait.",
        default=1000.0,
        minimum=1,
    )
    header_timeout_s: float = setting(
        "Seconds for a request's headers, and of silence between requests.",
        default=15.0,
        minimum=0.1,
    )
    stall_timeout_s: float = setting(
        "Seconds after which a WebSocket client that reads nothing is closed.",
        default=10.0,
        minimum=0.1,
    )
    close_timeout_s: float = setting(
        "Seconds for a closing connection to take its last bytes.", default=2.0, minimum=0
    )
    query_timeout_s: float = setting(
        "Seconds for an answer of ingest to a query.", default=2.0, minimum=0.01
    )
    sql_queries_max: int = setting("SQL queries that run at a time.", default=2, minimum=1)
    sql_timeout_s: float = setting(
        "Seconds for a SQL query; its process is killed then.", default=10.0, minimum=0.1
    )
    sql_memory_bytes_max: int = setting(
        "Memory of a SQL query, in bytes; half of it for the buffers of DuckDB.",
        default=1 << 30,
        minimum=128 * MIB,
    )
    sql_answer_bytes_max: int = setting(
        "Size of the answer to a SQL query, in bytes.", default=16 * MIB, minimum=1 << 12
    )
    silence_timeout_s: float = setting(
        "Seconds without a message of ingest after which every book is stale.",
        default=5.0,
        minimum=0.1,
    )


@dataclass(frozen=True, repr=False)
class ServerSettings:
    """The process that serves books."""

    http: str | None = setting(
        "HOST:PORT to serve books, WebSockets and metrics at. Not set: no HTTP.", default=None
    )
    allowed_hosts: tuple[str, ...] = setting(
        "Names, NAME or NAME:PORT, that requests may use for this server besides its address.",
        default=(),
    )
    allowed_origins: tuple[str, ...] = setting(
        "Origins, https://NAME, whose pages may read besides the server's own.", default=()
    )
    token: Secret | None = setting(
        "128 random bits that every request shows; an address other than loopback needs it.",
        default=None,
        variables=("BATONICS_TOKEN",),
    )
    heartbeat_interval_s: float = setting(
        "Seconds between two heartbeats to a WebSocket client.", default=1.0, minimum=0.1
    )
    refusal_log_interval_s: float = setting(
        "Seconds between two log lines on refused requests of one kind.", default=60.0, minimum=0
    )
    start_timeout_s: float = setting(
        "Seconds for the serving process to start.", default=60.0, minimum=0.1
    )
    niceness: int = setting("Niceness of the serving process.", default=10, minimum=0, maximum=19)
    history_bytes: int = setting(
        "Bytes of the last records of a live feed that the serving process keeps on disk; 64 MiB at"
        " least.",
        default=1024 * MIB,
        minimum=1,
    )
    screen_interval_s: float = setting(
        "Seconds between two pictures of the books on a terminal.", default=0.2, minimum=0.01
    )
    limits: ServerLimits = field(default_factory=ServerLimits)


@dataclass(frozen=True, repr=False)
class Settings:
    """All settings, by section."""

    cache: CacheSettings = field(default_factory=CacheSettings)
    input: InputSettings = field(default_factory=InputSettings)
    lake: LakeSettings = field(default_factory=LakeSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    log: LogSettings = field(default_factory=LogSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    server: ServerSettings = field(default_factory=ServerSettings)


INPUT_DEFAULTS = InputSettings()
LIVE_DEFAULTS, REPLAY_DEFAULTS = LiveSettings(), ReplaySettings()
SETTINGS: dict[str, Setting] = read_table(Settings)
"""Every setting by name."""
DEFAULTS = flatten(Settings())
"""The default of every setting by name."""

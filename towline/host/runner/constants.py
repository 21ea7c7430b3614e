"""Names, numbers and limits that several modules of the runner share."""

import errno

VERSION = 1

DEPLOYMENT_ROOT = "/opt/codedeploy-agent/deployment-root"

STATE_DIR = "/var/lib/towline"

SYSTEMD_RUNS = "/run/systemd/system"

ARCHIVE = "deployment-archive"

BUNDLE = "bundle.tar"  # the agent's name for every type

KEPT_PLAN = "plan.json"

# The agent's numbers of errors (its ScriptError), and the two beyond the five that CodeDeploy has names for.
SUCCESS, SCRIPT_MISSING, SCRIPT_NOT_EXECUTABLE, SCRIPT_TIMED_OUT, SCRIPT_FAILED, UNKNOWN_ERROR = range(6)

FAILED_AFTER_RESTART = 7

HOOK_EVENTS = (
    "BeforeBlockTraffic",
    "AfterBlockTraffic",
    "ApplicationStop",
    "BeforeInstall",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)

OF_LAST_INSTALL = ("BeforeBlockTraffic", "AfterBlockTraffic", "ApplicationStop")

MAY_BE_IGNORED = OF_LAST_INSTALL  # by ignore_application_stop_failures, as the service does it, and by undo

LOG_TAIL = 2048  # characters, as the agent

LONG_LINE = 1000  # what is left in the tail of a line that would empty it

OPEN_OUTPUT_GRACE = 0.5  # seconds that a child may keep a hook's output open after the hook has ended

TERM_TO_KILL = 5.0

EVENT_SECONDS = 3600

REPLY_SECONDS = 120

PROFILE_SECONDS = 10

PROFILE_BYTES = 1024 * 1024

SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

DEFAULT_LOG_BYTES = 64 * 1024 * 1024

DEFAULT_MEMBERS = 200000

UNPACKED_FLOOR = 1024 * 1024 * 1024  # an archive may always unpack to this, above it to so many times its size:

UNPACKED_RATIO = 100

CHUNK = 64 * 1024

HTTP_SECONDS = 60

BETWEEN_MESSAGES = 0.1  # seconds: what happens meanwhile is told at once, since each message wakes four processes

RESERVE_BYTES = 128 * 1024  # kept free, so that a journal has an end also where the disk has filled up

RESERVE_PIECE = 8 * 1024  # given up at once: what fills the disk takes what it can get

RESERVE_FILES = 16  # spare empty files: a file system may have room left and no inode

STARTS = 3  # of a runner that ends before its first record and says no reason

RESUMPTIONS = 3  # of one deployment: the events that may fail

BETWEEN_STARTS = 0.5  # seconds, longer each time

FULL = (errno.ENOSPC, errno.EDQUOT)

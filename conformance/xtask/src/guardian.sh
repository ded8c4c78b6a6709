# Creates a directory for the owner "$1", prints its path, and waits for the end of standard input, which means that the
# process that started this script has ended. Then stops the processes in the directory, and removes it.
set -u
dir=$(mktemp -d -t swiftwal-XXXXXXXX) && chown "$1" "$dir" && chmod 755 "$dir" || exit 1
echo "$dir"
exec >/dev/null 2>&1
cat

# The processes to stop have their working directory below this one; another process with a recycled id doesn't.
ours() { case $(readlink "/proc/$1/cwd") in "$dir" | "$dir"/*) true ;; *) false ;; esac; }

# PostgreSQL is stopped first, with SIGQUIT: killed servers would leave shared memory behind.
for file in "$dir"/*/postmaster.pid; do
    pid=$(head -n 1 "$file") && ours "$pid" && kill -QUIT "$pid"
    for _ in $(seq 1200); do ours "$pid" && sleep 0.05 || break; done
done
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    ours "$pid" && kill -KILL "$pid"
done
# A killed process may still write for a moment.
for _ in $(seq 300); do
    rm -rf "$dir" && break
    sleep 0.2
done

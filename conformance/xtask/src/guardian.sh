# Makes a directory for the owner "$1", prints its path, and waits for the end of standard input: the end of the
# process that started us, however it ended. Then stops what runs in the directory, and removes it.
set -u
dir=$(mktemp -d -t swiftwal-XXXXXXXX) && chown "$1" "$dir" && chmod 755 "$dir" || exit 1
echo "$dir"
exec >/dev/null 2>&1
cat

# Every process of ours works below the directory; that tells it from a stranger with a recycled pid.
ours() { case $(readlink "/proc/$1/cwd") in "$dir" | "$dir"/*) true ;; *) false ;; esac; }

# Servers first and politely: killed ones would leave shared memory behind.
for file in "$dir"/*/postmaster.pid; do
    pid=$(head -n 1 "$file") && ours "$pid" && kill -QUIT "$pid"
    for _ in $(seq 1200); do ours "$pid" && sleep 0.05 || break; done
done
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    ours "$pid" && kill -KILL "$pid"
done
# What was killed may still be writing for a moment.
for _ in $(seq 300); do
    rm -rf "$dir" && break
    sleep 0.2
done

# shellcheck shell=sh
# Values of JSON (RFC 8259).

# A string; null for an empty text or `-`. Control characters go: the texts are lines of a VM's report.
json() {
    case $1 in
    '' | -) printf null ;;
    *) printf '"%s"' "$(printf %s "$1" | tr '\n\t' '  ' | LC_ALL=C tr -d '\000-\037\177' | sed 's/[\\"]/\\&/g')" ;;
    esac
}

number() {
    case $1 in
    '' | *[!0-9]*) printf null ;;
    *) printf %s "$1" ;;
    esac
}

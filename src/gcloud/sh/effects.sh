# shellcheck shell=sh
# shellcheck disable=SC2154
# The effects of a plan on VMs and disks: what stays, minutes without a gateway, costs of a month. `$prices` are those
# of images/machines.json, and `$home` is the zone of bake.yaml. A row is one of
#   vm ZONE NAME TYPE STATUS ADDRESS, disk ZONE NAME TYPE GB, snapshot - NAME BYTES, image - NAME ?, nat REGION NAME, secret - NAME
rows='' effects='' kept='' looked=''

# Notes the effect `$1` of a change: `make ROW`, `end KIND ZONE NAME`, `ask KIND ZONE NAME`, `run ZONE NAME [TYPE]`,
# `away VM MINUTES`, `gone VM`.
will() {
    [ -z "$planning" ] || effects="$effects$1
"
}

# Notes what stays, unless the plan has a change of it.
keeps() {
    [ -z "$planning" ] || kept="${kept}kept $1
"
}

# Asks the commands `found_$1`… for rows. An account that cannot list them can still carry out the plan.
look_at_rows() {
    for kind; do
        found=$(ask "found_$kind") || {
            echo 'note: the plan names no costs, because they could not be looked up' >&2
            rows='' looked=''
            return 0
        }
        add_rows "$kind" "$found"
        looked="$looked $kind"
    done
}

# Adds rows of the kind `$1`, which are those of an old VM where it begins with `old_`.
add_rows() {
    case $1 in
    old_*) first="${1#old_} from/" ;;
    snapshot | secret) first="$1 - " ;;
    *) first="$1 " ;;
    esac
    rows="$rows$(printf '%s' "$2" | sed "s|^|$first|")
"
}

# Prints what stays as lines of the plan, and then the lines about gateways and costs.
show_effects() {
    known=$(
        printf '%s\n' "$prices" | sed 's/^/price /'
        printf '%s' "$rows$effects$kept"
        printf '%s' "$planned" | sed 's/^/planned /'
    )
    printf '%s\n' "$known" | LC_ALL=C awk -v looked="$looked" -v of="$prices_of" -v home="$home" '
        function id_of(kind, place, name) { return kind " " place " " name }
        function put(text, part, id) {
            split(text, part, " ")
            id = id_of(part[1], part[2], part[3])
            if (!(id in known)) order[++count] = id
            known[id] = 1
            after[id] = text
            return id
        }
        function region(zone) { sub(/^from\//, "", zone); sub(/-[a-z]$/, "", zone); return zone }
        function runs(status) { return status ~ /^(PROVISIONING|STAGING|RUNNING|REPAIRING)$/ }
        function of_machine(type, part) {
            if (("vm", type) in price) return price["vm", type]
            if (split(type, part, "-") == 3 && part[1] in cpu && part[3] ~ /^[0-9]+$/ && memory[part[1], part[2]])
                return part[3] * (cpu[part[1]] + memory[part[1], part[2]] / 1024 * gib[part[1]])
            unknown[type] = 1
            return 0
        }
        # `tier`: GB of standard disk that the free tier still covers, where it covers a VM.
        function cost(text, part) {
            split(text, part, " ")
            if (part[1] == "vm") {
                if (!runs(part[5])) return 0
                if (part[4] == free_type && region(part[2]) in free_region) {
                    tier = free_gb
                    return 0
                }
                return of_machine(part[4]) + (part[6] == "" ? 0 : price["address", "each"])
            }
            if (part[1] == "disk") {
                if (!(("disk", part[4]) in price)) {
                    unknown[part[4]] = 1
                    return 0
                }
                if (part[4] == "pd-standard" && region(part[2]) in free_region) standard += part[5]
                return part[5] * price["disk", part[4]]
            }
            if (part[1] ~ /^(snapshot|image)$/) {
                if (part[4] == "?") unsized[part[1]] = 1
                return part[4] / 1e9 * price[part[1], "each"]
            }
            return price[part[1], "each"]
        }
        function total(set, i, sum) {
            tier = standard = 0
            for (i = 1; i <= count; i++) if (order[i] in set) sum += cost(set[order[i]])
            return sum - (standard < tier ? standard : tier) * price["disk", "pd-standard"]
        }
        function dollars(sum) { return sum < 0.005 && sum > -0.005 ? "nothing" : sprintf("about %.2f USD a month", sum) }
        # Whether a line of the plan is about it.
        function is_planned(text, i, place, next_one) {
            for (i = 1; i <= lines; i++) {
                place = index(planned[i] " ", " " text)
                next_one = substr(planned[i], place + length(text) + 1, 1)
                if (place && (next_one == "" || next_one == "," || next_one == ":")) return 1
            }
            return 0
        }
        # As a person calls it; the boot disk is a part of its VM.
        function called(id, part) {
            split(id, part, " ")
            if (part[1] == "vm") return "VM " part[3]
            if (part[1] == "nat") return "Cloud NAT " part[3]
            if (part[1] == "disk") return id_of("vm", part[2], part[3]) in known ? "" : "data disk " part[3]
            return part[1] " " part[3]
        }
        function detail(text, part, place) {
            split(text, part, " ")
            place = part[2] ~ /^from\// ? " in " substr(part[2], 6) : ""
            if (part[1] ~ /^(vm|disk)$/ && place == "" && part[2] != home) place = " in " part[2]
            if (part[1] == "vm") return place ", " part[4] (runs(part[5]) ? "" : ", stopped")
            if (part[1] == "disk") return place ", " part[5] " GB" (cost(text) ? ": " dollars(cost(text)) : "")
            return ": " dollars(cost(text))
        }
        function joined(set, n, i, text) {
            for (i = 1; i <= n; i++) text = text (i > 1 ? ", " : "") set[i]
            return text
        }

        $1 == "price" && $2 == "family" {
            cpu[$3] = $4
            gib[$3] = $5
            memory[$3, "standard"] = $6
            memory[$3, "highmem"] = $7
            memory[$3, "highcpu"] = $8
            next
        }
        $1 == "price" && $2 == "free" {
            free_type = $3
            free_gb = $4
            for (i = 5; i <= NF; i++) free_region[$i] = 1
            next
        }
        $1 == "price" { price[$2, $3] = $4; next }
        $1 == "make" {
            sub(/^make /, "")
            id = put($0)
            touched[id] = 1
            if ($1 == "vm" && !(id in before)) made = 1
            next
        }
        $1 == "end" { id = id_of($2, $3, $4); touched[id] = 1; delete after[id]; next }
        $1 == "ask" { touched[id_of($2, $3, $4)] = 1; next }
        $1 == "run" {
            id = id_of("vm", $2, $3)
            touched[id] = 1
            if (id in after) {
                split(after[id], part, " ")
                after[id] = "vm " $2 " " $3 " " (NF > 3 ? $4 : part[4]) " RUNNING " part[6]
            }
            next
        }
        $1 == "away" {
            if ($2 in running && !($2 in minutes)) {
                away[++breaks] = $2
                minutes[$2] = longest = $3 + 0
            }
            next
        }
        $1 == "gone" { if ($2 in running) lost[++losses] = $2; next }
        $1 == "kept" { sub(/^kept /, ""); stay[++stays] = $0; next }
        $1 == "planned" { sub(/^planned /, ""); planned[++lines] = $0; next }
        NF > 2 {
            id = put($0)
            before[id] = $0
            if ($1 == "vm" && runs($5)) running[$3] = ++gateways
        }

        END {
            for (i = 1; i <= count; i++) {
                text = called(order[i])
                if (text == "" || !(order[i] in before) || order[i] in touched) continue
                if (order[i] ~ /^snapshot/) {
                    snapshots++
                    stored += cost(before[order[i]])
                } else if (!is_planned(text)) found[text] = detail(before[order[i]])
                if (text in found && !(text in listed)) listed[text] = ++rest
                if (text in found) by_place[listed[text]] = text
            }
            for (i = 1; i <= stays; i++) {
                if (is_planned(stay[i])) continue
                print "  = " stay[i] found[stay[i]]
                name = stay[i]
                sub(/,.*/, "", name)
                delete found[name]
            }
            for (i = 1; i <= rest; i++) if (by_place[i] in found) print "  = " by_place[i] found[by_place[i]]
            if (snapshots) print "  = " snapshots (snapshots > 1 ? " snapshots: " : " snapshot: ") dollars(stored)
            if (!lines) print "  Nothing to change."

            if (looked ~ /vm/) {
                if (losses) text = "gone with " (losses > 1 ? "their VMs: " joined(lost, losses) : "its VM")
                else if (breaks == 1) text = "away for about " longest " minutes"
                else if (breaks) text = "each is away for about " longest " minutes, one after another: " joined(away, breaks)
                else if (gateways) text = gateways > 1 ? "all keep running" : "keeps running"
                else text = made ? "" : "none is running"
                if (made && !breaks && !losses) text = text (text == "" ? "" : "; ") "a new one is ready after some minutes"
                print "Gateway: " text "."
            }
            now = total(before)
            later = total(after)
            for (type in unknown) others = others (others == "" ? "" : ", ") type
            if (others != "") others = ", and the price of " others ", which is not known here"
            for (kind in unsized) others = others sprintf(", and %.2f USD a month for each GB of the %s", price[kind, "each"], kind)
            changes = later > now + 0.004 || later < now - 0.004
            if (looked == "") {
                if (changes || others != "")
                    print "Costs: " (changes ? dollars(later - now) " more" : "as before") others "."
            } else {
                text = changes ? dollars(now) " now, " dollars(later) " afterwards" : dollars(now) ", as before"
                print "Costs: " text others "; list prices of us-central1, " of "; traffic" \
                    (looked ~ /snapshot/ ? " comes" : " and snapshots come") " on top."
            }
        }'
}

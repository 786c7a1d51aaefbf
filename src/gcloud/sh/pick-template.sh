# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# The OS image of a group's VMs, and its `$template`. `baked_template` and `group_template` are gcloud's commands.

# Templates name the family: an image of it is always there, and a VM that is made again gets the newest.
use_family() {
    boot_image=--image-family=$baked_family image_project=$project template=$family_template
    image="the newest image of $baked_family"
}

# For a group, with its `$template`.
pick_template() {
    use_stock
    baked=$(ask baked_template)
    [ -n "$baked" ] || baked=$(ask baked_image)
    if [ -n "$baked" ]; then
        use_family
    elif [ "$image_mode" = baked ]; then
        no_baked_image
    fi
}

# The same for a group that keeps its image: another boot disk would take new VMs.
keep_image() {
    there=$(ask group_template)
    there=${there# }
    case ${there%% *} in
    '') pick_template ;;
    "$family_templates"-*) use_family ;;
    *)
        use_stock
        image="$stock_family as before (to another image: bake gcloud update --replace)"
        ;;
    esac
}

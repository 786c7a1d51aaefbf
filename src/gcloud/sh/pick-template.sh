# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# The OS image of a group's VMs, and its `$template`. `group_template` is gcloud's command.

# Templates name the family: a VM that is made again gets its newest image, whichever images were deleted meanwhile.
use_family() {
    boot_image=--image-family=$baked_family image_project=$project template=$family_template
    image="the newest image of $baked_family"
}

# For a group, with its `$template`.
pick_template() {
    use_stock
    [ "$image_mode" != stock ] || return 0
    baked=$(ask baked_image)
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
    "$family_templates"-*)
        use_family
        [ "$image_mode" != stock ] || image="$image as before (to the stock image: bake gcloud update --replace)"
        ;;
    *)
        use_stock
        image="$stock_family as before (to another image: bake gcloud update --replace)"
        ;;
    esac
}

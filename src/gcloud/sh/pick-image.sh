# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# The OS image of new VMs: one that `image` baked of this lock, or the stock one. `baked_image`, `vm_stays`,
# `baked_template` and `group_template` are gcloud's commands; `$image_mode` is host.image of bake.yaml.

# `$boot_image` and `$image_project` are gcloud's flags, `$image` is for the plan.
use_stock() {
    boot_image=--image-family=$stock_family image_project=$stock_project template=${stock_template:-}
    image="$stock_family, since no image of this lock is baked (bake gcloud image | sh)"
}

# Templates name the family: an image of it is always there, and a VM that is made again gets the newest.
use_family() {
    boot_image=--image-family=$baked_family image_project=$project template=$family_template
    image="the newest image of $baked_family"
}

no_baked_image() {
    refuse "host.image in bake.yaml is baked, and no image of this lock fits in $project. To bake one:" \
        '  bake gcloud image | sh' 'To do without: host.image: auto'
}

# For one VM, which `vm_stays` prints where none is to be made.
pick_image() {
    use_stock
    baked=$(ask baked_image)
    if [ -n "$baked" ]; then
        boot_image=--image=$baked image_project=$project image=$baked
    elif [ "$image_mode" = baked ]; then
        stays=$(ask vm_stays)
        [ -n "$stays" ] || no_baked_image
    fi
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

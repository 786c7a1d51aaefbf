# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# The OS image of new VMs: one that `image` baked of this lock, or the stock one. `baked_image` and `vm_stays`
# are gcloud's commands; `$image_mode` is host.image of bake.yaml.

# `$boot_image` and `$image_project` are gcloud's flags, `$image` is for the plan.
use_stock() {
    boot_image=--image-family=$stock_family image_project=$stock_project template=${stock_template:-}
    image=$stock_family
    [ "$image_mode" = stock ] || image="$stock_family, since no image of this lock is baked (bake gcloud image | sh)"
}

no_baked_image() {
    refuse "host.image in bake.yaml is baked, and no image of this lock fits in $project. To bake one:" \
        '  bake gcloud image | sh' 'To do without: host.image: auto'
}

# For one VM, unless `vm_stays` prints one that is kept.
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

/*
 * A static glibc loads the modules in the machine's nsswitch.conf, which are built for another glibc and can
 * crash it. The modules `files` and `dns` are part of libc.a since glibc 2.34.
 */
#include <nss.h>

__attribute__((constructor)) static void use_built_in_modules(void) {
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
    __nss_configure_lookup("services", "files");
    __nss_configure_lookup("protocols", "files");
}

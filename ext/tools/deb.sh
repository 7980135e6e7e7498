#!/bin/sh
# The Debian package of a build: libsqlite3-mod-recommend, where the sqlite3 shell's ".load recommend" finds it, with the libraries
# it needs as dependencies.
#   ext/tools/deb.sh BUILD VERSION      writes BUILD/dist/libsqlite3-mod-recommend_VERSION_ARCH.deb
set -eu
build=$1 version=$2 name=libsqlite3-mod-recommend
arch=$(dpkg --print-architecture)
triplet=$(gcc -print-multiarch)
stage=$build/dist/deb
rm -rf "$stage"
mkdir -p "$stage/debian" "$stage/$name/DEBIAN" "$stage/$name/usr/lib/$triplet" "$stage/$name/usr/share/doc/$name/sql"
strip --strip-unneeded -o "$stage/$name/usr/lib/$triplet/recommend.so" "$build/recommend.so"
chmod 644 "$stage/$name/usr/lib/$triplet/recommend.so"
cp README.md CHANGELOG.md docs/reference/*.md "$stage/$name/usr/share/doc/$name/"
cp sql/*.sql "$stage/$name/usr/share/doc/$name/sql/"
{ printf 'sqlite-recommend\n\n'; cat LICENSE; printf '\nInside: FAISS (MIT, Copyright Facebook, Inc. and its affiliates), xxHash (BSD-2-Clause, Yann Collet).\n'; } >"$stage/$name/usr/share/doc/$name/copyright"
gzip -9n "$stage/$name/usr/share/doc/$name/CHANGELOG.md"

# dpkg-shlibdeps reads debian/control and says which packages have the libraries.
printf 'Source: sqlite-recommend\n\nPackage: %s\nArchitecture: any\n' "$name" >"$stage/debian/control"
depends=$(cd "$stage" && dpkg-shlibdeps -O "$name/usr/lib/$triplet/recommend.so" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "deb: dpkg-shlibdeps named no dependencies"; exit 1; }
cat >"$stage/$name/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: $arch
Maintainer: The sqlite-recommend developers <sqlite-recommend@localhost>
Installed-Size: $(du -sk "$stage/$name/usr" | cut -f1)
Depends: $depends
Recommends: sqlite3
Section: database
Priority: optional
Description: recommendations and vector search inside SQLite
 A loadable extension of SQLite: train a recommender over a table of purchases
 with one INSERT, ask it with SELECT, search vectors, and measure how good the
 lists are. In the sqlite3 shell: .load recommend
CONTROL
dpkg-deb --build --root-owner-group "$stage/$name" "$build/dist/${name}_${version}_$arch.deb" >/dev/null
ls "$build/dist/${name}_${version}_$arch.deb"

#!/usr/bin/env bash
# cleave cert and cleave token; what they write is looked at with openssl(1) and sha256sum(1).
# Called with: PROGRAM WORK.
cleave=$1
work=$2
. "$(dirname "$0")/expect.sh"

expect 0 "$cleave" cert --name cloud.lan --name 10.0.0.2 --client camera-1
openssl verify -CAfile certs/ca.pem -purpose sslserver certs/server.pem >/dev/null || fail "server"
openssl verify -CAfile certs/ca.pem -purpose sslclient certs/camera-1.pem >/dev/null || fail "client"
! openssl verify -CAfile certs/ca.pem -purpose sslserver certs/camera-1.pem >/dev/null 2>&1 ||
  fail "a client's certificate serves a server"
openssl x509 -in certs/server.pem -noout -checkhost cloud.lan | grep -q 'does match' || fail "name"
openssl x509 -in certs/server.pem -noout -checkip 10.0.0.2 | grep -q 'does match' || fail "address"
openssl x509 -in certs/server.pem -noout -checkhost other.lan | grep -q 'NOT match' || fail "other"
openssl x509 -in certs/server.pem -noout -checkend $((89 * 86400)) >/dev/null || fail "too short"
! openssl x509 -in certs/server.pem -noout -checkend $((91 * 86400)) >/dev/null || fail "too long"
for key in ca server camera-1; do
  [ "$(stat -c %a "certs/$key.key")" = 600 ] || fail "others may read $key.key"
  cmp <(openssl pkey -in "certs/$key.key" -pubout) <(openssl x509 -in "certs/$key.pem" -noout -pubkey) ||
    fail "$key: key and certificate differ"
done

# Nothing is overwritten unasked, and the authority never.
cp -r certs before
expect 2 "$cleave" cert --name cloud.lan
grep -q -- --force err.txt || fail "no hint: $(cat err.txt)"
diff -r certs before || fail "something was overwritten"
expect 0 "$cleave" cert --name other.lan --force
cmp certs/ca.pem before/ca.pem || fail "the authority was replaced"
! cmp -s certs/server.pem before/server.pem || fail "--force replaced nothing"
expect 2 "$cleave" cert
expect 2 "$cleave" cert --name 'a b' --dir other
expect 2 "$cleave" cert --client ../x
rm certs/ca.key
expect 3 "$cleave" cert --client camera-2

expect 0 "$cleave" token -o a.token --tokens tokens --name a
expect 0 "$cleave" token -o b.token --tokens tokens
[ "$(stat -c %a a.token)" = 600 ] || fail "others may read the token"
sum=$(tr -d '\n' <a.token | sha256sum | cut -d' ' -f1)
[ "$(head -1 tokens)" = "$sum a" ] || fail "the first line is no sum of a.token"
[ "$(wc -l <tokens)" = 2 ] || fail "the second line is lost"
! cmp -s a.token b.token || fail "two equal tokens"
expect 2 "$cleave" token -o a.token
"$cleave" token -o c.token >line.txt
[ "$(cat line.txt)" = "$(tr -d '\n' <c.token | sha256sum | cut -d' ' -f1)" ] || fail "no line"
echo "certificates: ok"

#!/bin/bash
# Asks pods of web.ts for their name and for the client's address that they see, all at the same time.
#   ask.sh http://HOST:PORT|udp://HOST:PORT ...
# Prints a line per address: the address, the exit code of curl, the name of the pod, the client's address and port.

ask_http() {
  local answer status=0
  # Both requests use the same connection.
  answer=$(curl --silent --globoff --noproxy '*' --connect-timeout 4 --max-time 6 --write-out ' ' \
    "$1/hostname" "$1/clientip") || status=$?
  echo "$1 $status $answer"
}

ask_udp() {
  local host=${1#udp://} port=${1##*:} name='' client='' status=0
  host=${host%:*} host=${host#[} host=${host%]}
  # Both datagrams have the same source port.
  exec 3<>"/dev/udp/$host/$port" && name=$(datagram hostname) && client=$(datagram clientip) || status=$?
  echo "$1 $status $name $client"
}

# Exits like curl: 7 if the datagram is rejected, 28 without an answer. Sends again after a second, because the kernel
# limits the ICMP errors by which it rejects.
datagram() {
  local status
  for _ in {1..4}; do
    printf %s "$1" >&3 || return 7
    status=0
    timeout 1 dd bs=2048 count=1 <&3 2>/dev/null || status=$?
    case $status in 0) return 0 ;; 124) ;; *) return 7 ;; esac
  done
  return 28
}

for url; do
  case $url in http:*) ask_http "$url" & ;; *) ask_udp "$url" 2>/dev/null & ;; esac
done
wait

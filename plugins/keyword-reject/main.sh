#!/bin/sh
# Refuses mail whose subject or first lines hold a word of words.txt. One process a call: the payload on stdin, one of two
# fixed texts on stdout, so that nothing of a message can change the answer. A failure is an exit code: on_error decides.
set -eu
export LC_ALL=C
words=$(cat "$(dirname "$0")/words.txt")
words=$(printf '%s\n' "$words" | tr -d '\r' | sed -e '/^#/d' -e '/^[[:space:]]*$/d')
payload=$(cat)
case $payload in
  '{"api":"mairust.hook/1",'*'}') ;;
  *) echo "this is no payload of mairust.hook/1" >&2; exit 1 ;;
esac

# Inside a JSON string a quote has a backslash before it, so these keys cannot come from a message. Each text gets a line of its
# own up to its closing quote; then line breaks and other controls become blanks, and quotes lose their backslash.
texts=$(printf '%s\n' "$payload" |
  sed -E -e 's/\{"name":"[Ss][Uu][Bb][Jj][Ee][Cc][Tt]","value":"/\
text:/g' -e 's/"body_preview":\{"text":"/\
text:/g' |
  sed -nE -e 's/^text:([^"\\]*(\\.[^"\\]*)*)".*/\1/p' |
  sed -E -e 's/\\\\/ /g' -e 's/\\[bfnrt]/ /g' -e 's/\\u00[01]./ /g' -e 's/\\(["\/])/\1/g')

found=1
[ -z "$words" ] || { printf '%s\n' "$texts" | grep -qiF -e "$words" && found=0 || found=$?; }
case $found in
  0) echo '{"action":"reject","code":550,"reason":"refused for its words","explanation":"a word of words.txt"}' ;;
  1) echo '{}' ;;
  *) exit 1 ;;
esac

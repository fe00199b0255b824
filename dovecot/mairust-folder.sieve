# Stages hooks and mirror: the folder that a hook chose, for Dovecot's Pigeonhole (dovecot-sieve).
#
# The sidecar puts it into a field of its own, behind a secret that only it and this rule know, and takes such fields out of mail from
# outside. The copy of this file with your secret is <data_dir>/relay/mairust-folder.sieve. It goes before the users' own rules; they
# do not see mail that it has filed. dovecot.conf:
#
#   protocol lmtp {
#     mail_plugins = $mail_plugins sieve
#   }
#   plugin {
#     sieve_before = /etc/dovecot/mairust-folder.sieve
#     sieve_extensions = +editheader
#   }
#
# Then, with the group of Dovecot's mail processes, which read it (vmail here):
#
#   install -m 640 -g vmail /var/lib/mairust/relay/mairust-folder.sieve /etc/dovecot/
#   sievec /etc/dovecot/mairust-folder.sieve
#   doveadm reload
#
# A folder that is not there is made. Where Dovecot's namespace has another separator than "/" (a Maildir's own is "."), it must stand
# below: else mail for a folder in a folder stays in INBOX. What cannot be filed lies there with the field, like all mail without the rule.
require ["editheader", "fileinto", "mailbox", "variables"];

set "separator" "/";

if header :matches "X-MaiRust-Folder" "@SECRET@ *" {
  set "folder" "${1}";
  # Sieve has no loop: eight levels.
  if string :matches "${folder}" "*/*" { set "folder" "${1}${separator}${2}"; }
  if string :matches "${folder}" "*/*" { set "folder" "${1}${separator}${2}"; }
  if string :matches "${folder}" "*/*" { set "folder" "${1}${separator}${2}"; }
  if string :matches "${folder}" "*/*" { set "folder" "${1}${separator}${2}"; }
  if string :matches "${folder}" "*/*" { set "folder" "${1}${separator}${2}"; }
  if string :matches "${folder}" "*/*" { set "folder" "${1}${separator}${2}"; }
  if string :matches "${folder}" "*/*" { set "folder" "${1}${separator}${2}"; }
  deleteheader "X-MaiRust-Folder";
  fileinto :create "${folder}";
  stop;
}

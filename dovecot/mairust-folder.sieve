# Stages hooks and mirror: the folder that a hook chose, for Dovecot's Pigeonhole.
#
# The sidecar puts it into a field of its own, behind a secret that only it and this rule know, and takes such fields out of mail from
# outside. The copy of this file with your secret is <data_dir>/relay/mairust-folder.sieve. It goes before the users' own rules:
#
#   protocol lmtp {
#     mail_plugins = $mail_plugins sieve
#   }
#   plugin {
#     sieve_before = /etc/dovecot/mairust-folder.sieve
#     sieve_extensions = +editheader
#   }
#
# Without it mail goes where it always went, and keeps the field.
require ["editheader", "fileinto", "mailbox", "variables"];

if header :matches "X-MaiRust-Folder" "@SECRET@ *" {
  set "folder" "${1}";
  deleteheader "X-MaiRust-Folder";
  fileinto :create "${folder}";
  stop;
}

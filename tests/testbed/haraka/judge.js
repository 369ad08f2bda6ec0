// Who may send, and to whom: whoever has logged in, to everybody but those whose address begins with `gone`, and to
// those with `grey` from the second time on.
'use strict'

const DSN = require('haraka-dsn')
const seen = new Set()

exports.hook_mail = (next, connection) => {
  if (connection.relaying) return next()
  next(DENY, DSN.sec_unauthorized('Log in first', 530))
}

exports.hook_rcpt = (next, connection, [recipient]) => {
  const address = recipient.address()
  if (address.startsWith('gone')) return next(DENY, DSN.addr_bad_dest_mbox('No such user here', 550))
  if (address.startsWith('grey') && !seen.has(address)) {
    seen.add(address)
    return next(DENYSOFT, DSN.sec_unauthorized('Greylisted, please come back', 450))
  }
  next(OK)
}

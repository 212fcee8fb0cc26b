"""Postgres access that all adapters share.

sessions            the one place that connects: settings, deadlines by purpose, refused databases
service_connection  a connection whose waits can be ended
progress            lines of the log while work in the database continues
connections         the pool; the service's connection string
silence             distinguish a busy session from a connection that carries no more data
errors              errors sorted by SQLSTATE: retry, page an operator, or a bug
migrations          bring the schema up to date
room                how many more connections the server allows
roles               the owner's login and the service's, and what the service may do
service_login       create the service's login where only the owner's is known
sql                 statements with the names of the schema, the log and a projection's tables filled in
notifications       wake waiting tasks on NOTIFY, with polling as fallback
arrays              arrays as parameters of statements, encoded in one pass
batching            concurrent requests share a round trip
cancellation        raise a cancellation that was swallowed
probe               check a server once, and wait until it is lost
"""

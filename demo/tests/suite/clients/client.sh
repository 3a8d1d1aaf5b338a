# client.sh ID ADDRESS: as client.sh of nginx's module does it.
answer=
until [ "$answer" = "new Object({ 'state' : 'done' })" ]; do
	answer=$(curl -s -H "x-progress-id: $1" "$2" | tr -d '\r')
	echo "[$1] '$answer'"
done

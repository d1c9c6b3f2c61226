#!/bin/sh
# Requests the application until the file "leave" is there, and records the code and the first line of each answer.
while [ ! -e /srv/shop/leave ]; do
  answer=$(curl --silent --max-time 10 --write-out '\n%{http_code}' --header 'Host: shop.example.net' http://127.0.0.1/)
  echo "$(echo "$answer" | tail -n 1) $(echo "$answer" | head -n 1)" >> /srv/shop/visits
  sleep 0.05
done
touch /srv/shop/left
